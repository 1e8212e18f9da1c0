import importlib


def test_importing_the_entry_point_starts_nothing() -> None:
    importlib.import_module("{{ cookiecutter.package_name }}.__main__")
