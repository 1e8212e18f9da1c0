"""Generate the parts of the documentation that come from elsewhere: `make docs`.

    README.md, README.ko.md, docs/benchmarks*.md    the choices of cookiecutter.json, the figures of bench.json
    docs/example/README.md, Dockerfile              a rendered project: its files, one of them
    docs/example/contract.txt, sbom.json            what its image promises, and what is in it
    docs/terminal.svg                               the same project on a terminal, from the questions to the contract

The last three files need a Docker engine, the lab's if there is no other (with LAB=0 they stay as they are). They show
the project as rendered from the last commit, as for somebody without a clone. Exit status 1, with the reason, if a
part can't be made; a file is written completely or not at all.
"""

import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cookiecutter.main import cookiecutter

from benchmarks.report import TABLES, TITLES, comparison
from scripts import terminal
from scripts.terminal import Step
from scripts.test import engine_answers, lab_environment

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
EXAMPLE = ROOT / "docs" / "example"
DECLARED = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
# The rows of figures that the READMEs show, of those that docs/benchmarks.md has.
SHOWN = ("cold build", "code change", "one dependency added", "image on disk", "start to first answer")
# Of the components in the image's SBOM: one of each kind.
PARTS = ("starlette", "libc6", "python")

# The template's address for people without a clone; git is configured to find it here.
ADDRESS = "https://github.com/ORG/TEMPLATE"
NAME, SLUG = "Order API", "order-api"
STEPS = (
    Step(f"cookiecutter {ADDRESS}", answers=(NAME, *[""] * 11), first=21),
    Step("make --silent up", SLUG, first=0, last=3),
    Step("curl --silent 'http://127.0.0.1:8000/greeting?name=Ada'", SLUG),
    Step("make --silent check-image", SLUG),
)


def cells(line: str) -> list[str]:
    """Return the cells of a table's line that holds figures; nothing of any other."""
    found = [cell.strip() for cell in line.strip("|").split("|")]
    return found if any(re.fullmatch(r"[\d.]+ (s|kB|MB)", cell) for cell in found) else []


def with_choices(page: str) -> str:
    """Return a README whose table of questions offers what cookiecutter.json offers."""
    for name, offered in DECLARED.items():
        if isinstance(offered, list) and not name.startswith("_"):
            cell = ", ".join(f"`{value}`" for value in offered)
            page = re.sub(rf"^(\| `{name}` \|) [^|]* \|", rf"\1 {cell} |", page, flags=re.MULTILINE)
    return page


def with_figures(page: str, measured: Iterable[Sequence[str]]) -> str:
    """Return a page whose lines of figures hold those of `measured`, in the same order; their titles stay as they are.

    Raises ValueError when there is not one for each.
    """
    lines = page.splitlines()
    places = [number for number, line in enumerate(lines) if cells(line)]
    for number, (_, *figures) in zip(places, measured, strict=True):
        lines[number] = f"| {' | '.join([cells(lines[number])[0], *figures])} |"
    return "\n".join([*lines, ""])


def measured() -> list[list[str]]:
    """Return title and figures of all lines of docs/benchmarks.md: the comparison, then the other tables."""
    found = json.loads((ROOT / "benchmarks/results/bench.json").read_text(encoding="utf-8"))
    recipes = [line[: 1 + len(TITLES)] for line in map(cells, comparison(found["recipes"]).splitlines()) if line]
    kept = [line for line in recipes if not line[0].startswith("fetched")]
    more = "".join(draw(found[part]) for part, draw in TABLES.items())
    return kept + [line for line in map(cells, more.splitlines()) if line]


def render(folder: str) -> Path:
    """Return the project that is shown, rendered from this checkout into `folder`."""
    answers = {"project_name": NAME}
    made = cookiecutter(str(ROOT), no_input=True, default_config=True, output_dir=folder, extra_context=answers)
    return Path(made)


def owner(path: str, skipped: Iterable[str]) -> str:
    """Return who owns a file of a project; `skipped` is what updates skip."""
    if path.startswith(tuple(skipped)):
        return "you; updates never touch it"
    if path.startswith(tuple(DECLARED["_copy_without_render"])):
        return "the template; fixes arrive by update"
    return "shared; updates merge"


def with_files(page: str, project: Path) -> str:
    """Return a page whose table has all files of a project: where, whose, and the template's file behind each."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    skipped = settings["tool"]["cruft"]["skip"]
    places: dict[tuple[str, str], list[str]] = {}
    for file in sorted(file.relative_to(project) for file in project.rglob("*") if file.is_file()):
        source = str(TEMPLATE.name / file).replace(SLUG.replace("-", "_"), "{{cookiecutter.package_name}}")
        folder = f"`{file.parent}/`"
        link = f"[`{file.name}`](../../{quote(source)})"
        places.setdefault((folder, owner(str(file), skipped)), []).append(link)
    table = "".join(f"| {folder} | {whose} | {', '.join(links)} |\n" for (folder, whose), links in places.items())
    return re.sub(r"(?<=^\|---\|---\|---\|\n)(\|.*\n)+", lambda _: table, page, flags=re.MULTILINE)


def example() -> dict[Path, str]:
    """Return the files of the example that need no engine."""
    page = EXAMPLE / "README.md"
    with tempfile.TemporaryDirectory() as folder:
        project = render(folder)
        return {
            page: with_files(page.read_text(encoding="utf-8"), project),
            EXAMPLE / "Dockerfile": (project / "Dockerfile").read_text(encoding="utf-8"),
        }


def pages() -> dict[Path, str]:
    """Return the pages that show choices or figures."""
    figures = measured()
    compared = {line[0]: line for line in reversed(figures)}
    shown = [compared[title] for title in SHOWN]
    made = {}
    for language in ("", ".ko"):
        readme, benchmarks = ROOT / f"README{language}.md", ROOT / f"docs/benchmarks{language}.md"
        made[readme] = with_figures(with_choices(readme.read_text(encoding="utf-8")), shown)
        made[benchmarks] = with_figures(benchmarks.read_text(encoding="utf-8"), figures)
    return made


def excerpt(bill: Mapping[str, Any]) -> str:
    """Return an SBOM with one component of each kind, reduced to its main fields."""
    kept = ("type", "name", "version", "purl", "licenses")
    parts = [part for part in bill["components"] if part["name"] in PARTS]
    left_out = f"{len(bill['components']) - len(parts)} more"
    described, *shown = ({k: part[k] for k in kept if k in part} for part in (bill["metadata"]["component"], *parts))
    short = {
        "bomFormat": bill["bomFormat"],
        "specVersion": bill["specVersion"],
        "metadata": {"component": described},
        "components": [*shown, left_out],
    }
    return json.dumps(short, indent=2) + "\n"


def environment() -> dict[str, str] | None:
    """Return an environment in which commands find this template and an engine; None without an engine."""
    env = dict(os.environ)
    if not engine_answers():
        if env.get("LAB") == "0":
            return None
        env |= lab_environment()
    if "SERVICE_LAB" in env:
        mirror = env["LAB_MIRROR_IP"]
        env |= {
            "DEBIAN_SUITE": "forky",
            "PYPI_MIRROR": f"http://{mirror}/pypi/simple/",
            "BUILD_FLAGS": f"--network host --add-host mirror.kakao.com:{mirror}",
        }
    return env | {
        "PATH": f"{ROOT}/.venv/bin:{env['PATH']}",
        "TERM": "xterm-256color",
        "BUILDKIT_PROGRESS": "plain",
        "COMPOSE_PROGRESS": "plain",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }


def recordings(env: Mapping[str, str]) -> dict[Path, str]:
    """Return the files that are made by building and running the project in the environment `env`.

    Raises FailedError when a command fails, or when its output contains a private path or address.
    """
    title = "A new project on a terminal: its questions, its first image, a request, what its image promises"
    with tempfile.TemporaryDirectory() as home:
        own = {**env, "HOME": home}
        project = Path(home) / SLUG
        new, *rest = STEPS
        try:
            parts = [terminal.record(new, Path(home), own)]
            # Installed before the recording, since `make` does it only once.
            terminal.run("make .tools/contract/done", (), project, own)
            parts += [terminal.record(step, Path(home), own) for step in rest]
            terminal.run("make sbom", (), project, own)
            bill = json.loads((project / "sbom.cdx.json").read_text(encoding="utf-8"))
        finally:
            if project.exists():
                terminal.run(f"make down && docker image rm --force {SLUG}", (), project, own)
    made = {
        ROOT / "docs/terminal.svg": terminal.draw(list(chain.from_iterable([*part, ""] for part in parts))[:-1], title),
        EXAMPLE / "contract.txt": "\n".join(map(terminal.plain, parts[-1][1:])) + "\n",
        EXAMPLE / "sbom.json": excerpt(bill),
    }
    for private in (home, str(ROOT), env.get("LAB_MIRROR_IP", home)):
        for path, text in made.items():
            if private in text:
                raise terminal.FailedError(f"{path.name} would show {private}")
    return made


def write(path: Path, text: str) -> None:
    """Write `text` to `path`, and say if that changed it."""
    old = path.read_text(encoding="utf-8") if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{path.relative_to(ROOT)}: {'unchanged' if text == old else 'changed'}", flush=True)


def main() -> None:
    """Make all parts."""
    for path, text in (pages() | example()).items():
        write(path, text)
    env = environment()
    if env is None:
        print("docs: no Docker engine answers: terminal.svg, contract.txt and sbom.json stay as they are")
        return
    try:
        for path, text in recordings(env).items():
            write(path, text)
    except terminal.FailedError as error:
        sys.exit(f"docs: {error}")


if __name__ == "__main__":
    main()
