"""A service for the tests: TEST_RUN names the module and function that it runs."""
