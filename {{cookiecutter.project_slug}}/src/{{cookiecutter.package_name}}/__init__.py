"""The service; `python -m` with the name of this package runs it."""
