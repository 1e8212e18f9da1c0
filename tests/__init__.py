"""The tests of the template: what it renders, and what becomes of it."""
