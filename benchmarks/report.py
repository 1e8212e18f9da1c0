"""The results of a benchmark as Markdown tables and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.engine import RECIPES
from benchmarks.plot import Bars, plot
from benchmarks.projects import SCENARIOS

Results = Mapping[str, Any]
Measure = Callable[[Results], float]

TITLES = {name: recipe.title for name, recipe in RECIPES.items()}
# What the issue compares with: the fastest recipe of today, and the one that this template descends from.
AGAINST = ("uv", "note")


def of_builds(scenario: str, kind: str) -> Measure:
    """Return how to find the median of `kind` (seconds or fetched) for a scenario in the results of a recipe."""
    return lambda recipe: median(recipe["builds"][scenario][kind])


def of_images(kind: str) -> Measure:
    """Return how to find a figure of the image, or the median over its starts, in the results of a recipe."""
    return lambda recipe: median([found] if isinstance(found := recipe["images"][kind], int) else found)


# Title -> where its figure is, and its unit.
ROWS: Mapping[str, tuple[Measure, str]] = {
    **{title: (of_builds(name, "seconds"), "s") for name, title in SCENARIOS.items()},
    **{f"fetched: {title}": (of_builds(name, "fetched"), "B") for name, title in SCENARIOS.items()},
    "image on disk": (of_images("unpacked"), "B"),
    "image compressed": (of_images("packed"), "B"),
    "new layers after a code change": (of_images("code_unpacked"), "B"),
    "the same, compressed": (of_images("code_packed"), "B"),
    "new layers after a dependency was added, compressed": (of_images("add_packed"), "B"),
    "new layers after a dependency was updated, compressed": (of_images("update_packed"), "B"),
    "import of the service": (of_images("import"), "s"),
    "start to first answer": (of_images("answer"), "s"),
    "memory when idle": (of_images("memory"), "B"),
}
COMMITS = {"first": "first commit", "change": "code change"}
LAZY = {"normal": "imports as they are written", "all": "every import lazy"}
ON_RUNNER = {"seconds": "s", "fetched": "B", "pushed": "B"}
PLOTTED = (
    "cold build",
    "one dependency added",
    "version bump",
    "code change",
    "image on disk",
    "new layers after a code change",
    "start to first answer",
    "memory when idle",
)


def text(value: float, unit: str) -> str:
    """Return seconds, or bytes as kB or MB, as people write them."""
    if unit == "s":
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB" if value else "0"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *lines))


def comparison(recipes: Results) -> str:
    """Return a table of all recipes, with our figures divided by those of the two that count."""
    names = [name for name in TITLES if name in recipes]
    against = [name for name in AGAINST if {"ours", name} <= {*names}]
    lines = []
    for title, (measure, unit) in ROWS.items():
        values = {}
        for name in names:
            try:
                values[name] = measure(recipes[name])
            except KeyError:  # that part was not measured, or not for this image
                continue
        if values:
            line = [text(values[name], unit) if name in values else "" for name in names]
            line += [f"{values['ours'] / values[name]:.2f}" if values.get(name) else "" for name in against]
            lines.append([title, *line])
    return markdown(["", *(TITLES[name] for name in names), *(f"ours / {TITLES[name]}" for name in against)], lines)


def growth(found: Results) -> str:
    """Return a table of how our own builds grow with the number of packages."""
    lines = [
        [title, *(text(median(builds[name]["seconds"]), "s") for builds in found.values())]
        for name, title in SCENARIOS.items()
        if all(name in builds for builds in found.values())
    ]
    return markdown(["this template", *(f"{size} packages" for size in found)], lines)


def runner(found: Results) -> str:
    """Return a table of a code change on a CI machine, from sources to a pushed image."""
    lines = [
        [
            f"{TITLES[name]}, {machine} machine",
            *(text(median(of[kind]), unit) if kind in of else "" for kind, unit in ON_RUNNER.items()),
        ]
        for name, machines in found.items()
        for machine, of in machines.items()
    ]
    return markdown(["code change with a registry cache", "time", "packages fetched", "pushed"], lines)


def pipeline(found: Results) -> str:
    """Return a table of the commands of a CI pipeline, and what they take together."""
    seconds = {
        commit: {f"`make {name}`": median(of["seconds"]) for name, of in found[commit].items()} for commit in COMMITS
    }
    for commands in seconds.values():
        commands["together"] = sum(commands.values())
    lines = [[title, *(text(of[title], "s") for of in seconds.values())] for title in seconds["first"]]
    return markdown(["on an empty machine", *COMMITS.values()], lines)


def compression(found: Results) -> str:
    """Return a table of what our image costs with each compression."""
    lines = [
        [name, text(median(of["bytes"]), "B"), *(text(median(of[kind]), "s") for kind in ("push", "pull"))]
        for name, of in found.items()
    ]
    return markdown(["compressed with", "layers", "export and push", "pull"], lines)


def lazy(found: Results) -> str:
    """Return a table of a start with and without lazy imports."""
    lines = [
        [title, text(median(found[value]["answer"]), "s"), text(median(found[value]["memory"]), "B")]
        for value, title in LAZY.items()
    ]
    return markdown(["default service, Python 3.15", "start to first answer", "memory when idle"], lines)


def source(found: Results) -> str:
    """Return where and when the results were measured."""
    machine = found["machine"]
    hardware = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory']}"
    return f"Medians of {found['runs']}, {found['date']}, {hardware}, Linux {machine['kernel']}, {machine['engine']}"


TABLES = {
    "growth": growth,
    "runner": runner,
    "pipeline": pipeline,
    "compression": compression,
    "lazy": lazy,
}


def tables(found: Results) -> str:
    """Return all that was measured, as Markdown."""
    parts = [comparison(found["recipes"])] if found["recipes"] else []
    parts += [draw(found[name]) for name, draw in TABLES.items() if name in found]
    if "render" in found:
        parts.append(f"One render, hooks included: {median(found['render']['seconds']) * 1000:.0f} ms\n")
    return "\n".join([*parts, source(found)])


def picture(found: Results) -> str:
    """Return the comparison of the recipes as SVG; builds and images must have been measured."""
    charts: dict[str, Bars] = {}
    for title in PLOTTED:
        measure, unit = ROWS[title]
        values = {name: measure(found["recipes"][name]) for name in RECIPES if name in found["recipes"]}
        charts[title] = [(TITLES[name], value, text(value, unit)) for name, value in values.items()]
    return plot(charts, source(found))
