"""Make the commit of a release: `make release VERSION=1.2.0`.

    python scripts/release.py VERSION [--tested COMMIT]

These conditions are checked first, and all that do not hold are reported at once:

    the work tree is clean, on main, with something under Unreleased in CHANGELOG.md; the version is newer than the last
    variables and choices are removed (or renamed) only in a major version, and with a line in the CHANGELOG that names
        them
    each removed choice has a successor in `_retired` of cookiecutter.json, which is on offer
    the tests pass, including those of lock files, figures and pages: `make lint test` runs now, unless COMMIT, which
        passed in CI, is the last commit

Then the version is written to pyproject.toml, its heading with the date to CHANGELOG.md, and both are committed. The
commands that set the tag and push are printed, for a person to run.

Exit status 0; 1 if a condition does not hold, with nothing changed; 2 on wrong use.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
UNRELEASED = "## Unreleased\n"
Declared = dict[str, Any]


class RefusedError(Exception):
    """The release can't be made; the text says why."""


def git(*arguments: str) -> str:
    """Return the output of `git`; RefusedError, with git's reason, when it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def numbers(version: str) -> tuple[int, ...]:
    """Return a version such as 1.2.0 as numbers to compare."""
    return tuple(map(int, version.split(".")))


def last_release() -> str | None:
    """Return the newest version that has a tag in the history of this commit; None before the first one."""
    tags = git("tag", "--list", "v*", "--merged", "HEAD").splitlines()
    versions = [tag[1:] for tag in tags if VERSION.fullmatch(tag[1:])]
    return max(versions, key=numbers, default=None)


def asked(declared: Declared) -> Declared:
    """Return the variables that people are asked for."""
    return {name: value for name, value in declared.items() if not name.startswith("_")}


def removed(before: Declared, now: Declared) -> list[tuple[str, str | None]]:
    """Return what is no longer on offer: (variable, None), or (variable, choice)."""
    found: list[tuple[str, str | None]] = []
    for name, value in asked(before).items():
        if name not in asked(now):
            found.append((name, None))
        elif isinstance(value, list):
            offered = now[name] if isinstance(now[name], list) else value
            found += [(name, choice) for choice in value if choice not in offered]
    return found


def wrong_answers(version: str, before: Declared, now: Declared, news: str, last: str) -> list[str]:
    """Return a line for each answer of old projects that the release would leave without a way to go on."""
    found = []
    major = numbers(version)[0] > numbers(last)[0]
    for name, choice in removed(before, now):
        what = f"the variable {name}" if choice is None else f"the choice {choice!r} of {name}"
        if not major:
            found.append(f"{what} is gone since {last}: that takes a major version")
        words = [name] if choice is None else [name, choice]
        if not all(f"`{word}`" in news for word in words):
            names = " and ".join(f"`{word}`" for word in words)
            found.append(f"{what} is gone, and CHANGELOG.md has no word on it: name {names} there")
        if choice is not None and choice not in now.get("_retired", {}).get(name, {}):
            found.append(f"{what} has no successor under _retired in cookiecutter.json")
    return found


def wrong_successors(now: Declared) -> list[str]:
    """Return a line for each entry of `_retired` that leads nowhere."""
    found = []
    for name, successors in now.get("_retired", {}).items():
        offered = now.get(name, [])
        for choice, successor in successors.items():
            if choice in offered:
                found.append(f"_retired names {choice!r} of {name}, which is still on offer")
            if successor not in offered:
                found.append(f"_retired leads from {choice!r} of {name} to {successor!r}, which is not on offer")
    return found


def unreleased(changelog: str) -> str:
    """Return what CHANGELOG.md says of this release; nothing when it has no such part."""
    _, found, rest = changelog.partition(UNRELEASED)
    return re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0].strip() if found else ""


def problems(version: str, changelog: str, tested: str | None) -> list[str]:
    """Return a line for each condition that does not hold, except the tests."""
    found = []
    last, news, now = last_release(), unreleased(changelog), json.loads(Path("cookiecutter.json").read_text("utf-8"))
    if unclean := git("status", "--porcelain"):
        found.append(f"the work tree is not clean:\n{unclean}")
    if (branch := git("branch", "--show-current")) != "main":
        found.append(f"a release is made on main, and this is {branch or 'no branch'}")
    if not news:
        found.append("CHANGELOG.md has nothing under Unreleased")
    if last and numbers(version) <= numbers(last):
        found.append(f"{version} is not newer than {last}")
    if last:
        found += wrong_answers(version, json.loads(git("show", f"v{last}:cookiecutter.json")), now, news, last)
    if tested and git("rev-parse", "--verify", f"{tested}^{{commit}}") != git("rev-parse", "HEAD"):
        found.append(f"{tested} was tested, and is not the last commit")
    git("var", "GIT_COMMITTER_IDENT")  # without one, the commit would fail halfway
    return found + wrong_successors(now)


def release(version: str, changelog: str) -> None:
    """Write the version and the heading, and commit them."""
    day = datetime.datetime.now(datetime.UTC).date()
    heading = f"{UNRELEASED}\n## {version} ({day})\n"
    Path("CHANGELOG.md").write_text(changelog.replace(UNRELEASED, heading, 1), "utf-8")
    project = Path("pyproject.toml")
    line = re.compile(r'^version = ".*"$', re.MULTILINE)
    project.write_text(line.sub(f'version = "{version}"', project.read_text("utf-8"), count=1), "utf-8")
    git("commit", "--quiet", "--message", f"Release {version}", "--", "CHANGELOG.md", "pyproject.toml")


def main() -> int:
    """Make the release; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the commit of a release.")
    parser.add_argument("version", help="such as 1.2.0")
    parser.add_argument("--tested", metavar="COMMIT", help="a commit that is known to be green: `make test` is not run")
    options = parser.parse_args()
    if not VERSION.fullmatch(options.version):
        parser.error(f"{options.version!r} is no version such as 1.2.0")
    changelog = Path("CHANGELOG.md").read_text("utf-8")
    try:
        if found := problems(options.version, changelog, options.tested):
            raise RefusedError("\n".join(found))
        if not options.tested and subprocess.run(["make", "lint", "test"], check=False).returncode:
            raise RefusedError("`make lint test` is red")
        release(options.version, changelog)
    except RefusedError as error:
        print(f"release: {options.version} was not made:\n{error}", file=sys.stderr)
        return 1
    print(f"release: {options.version} is committed. To publish it:")
    print(f"    git tag --annotate --message 'Release {options.version}' v{options.version}")
    print(f"    git push --atomic origin main v{options.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
