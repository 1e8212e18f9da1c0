"""The plot of a benchmark: one small bar chart for each question, all recipes in it."""

from typing import Any


def plot(results: dict[str, Any]) -> str:
    return ""
