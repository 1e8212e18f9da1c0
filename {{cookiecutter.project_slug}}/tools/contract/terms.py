"""The rules for the table [tool.image-contract] in pyproject.toml."""

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]


def is_number(value: object) -> bool:
    """Tell whether `value` is a number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def is_text(value: object) -> bool:
    """Tell whether `value` is text that is not blank."""
    return isinstance(value, str) and value.strip() != ""


def is_table(value: object, of: Check) -> bool:
    """Tell whether `value` is a table whose values all pass the check `of`."""
    return isinstance(value, dict) and all(map(of, value.values()))


# The check of each key, and an example.
RULES: dict[str, tuple[Check, str]] = {
    "settings": (lambda table: is_table(table, is_text), '{ DATABASE_URL = "postgresql://placeholder" }'),
    "start-seconds": (is_number, "5"),
    "memory": (is_text, '"128m"'),
    "cpus": (is_number, "0.5"),
    "pids": (is_number, "64"),
    "tmp": (is_text, '"16m"'),
    "budget": (
        lambda table: is_table(table, is_number) and sorted(table) == ["app", "debian", "venv"],
        "{ venv = 50, app = 1, debian = 2 }",
    ),
    "except": (
        lambda table: is_table(table, lambda reason: is_text(reason) or is_table(reason, is_text)),
        '{ "start: within limits" = "loads a model of 300 MB" }',
    ),
}


def errors(table: dict[str, Any]) -> list[str]:
    """Return a line for everything that is wrong in the table, with what is allowed."""
    found = [f"{key} is unknown; allowed: {', '.join(RULES)}" for key in table if key not in RULES]
    for key, (fits, example) in RULES.items():
        if key not in table or not fits(table[key]):
            given = f"is {table[key]!r}" if key in table else "is missing"
            found.append(f"{key} {given}; allowed, for example: {key} = {example}")
    return found
