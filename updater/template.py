"""The template: a clone of its repository, the versions in it, and what they render."""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from updater.git import GitError, git
from updater.project import STATE, Answers, Refused

CHANGELOG = "CHANGELOG.md"
# Cookiecutter runs an answer that contains one of these as code.
JINJA = re.compile(r"\{[{%#]")


@dataclass(frozen=True)
class Render:
    """A version of the template, rendered."""

    folder: Path
    context: Answers  # all answers, in the form that .cruft.json keeps

    def folders(self) -> list[str]:
        """Return the folders that are the template's own: those that it copies without rendering."""
        return list(self.context.get("_copy_without_render", []))


def clone(address: str, folder: Path) -> Path:
    """Return a new clone, in `folder`, of the repository at `address`; Refused if git can't make one."""
    try:
        git(folder, "clone", "--quiet", "--no-checkout", "--template=", "--", address, "template")
    except GitError as error:
        raise Refused(f"the template {address} can't be reached:\n{error}") from None
    return folder / "template"


def newest(repository: Path) -> str:
    """Return the newest release in the history of a clone's default branch; the branch's tip if there is none.

    The Makefile of a project asks the same question.
    """
    describe = ("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "--exclude=*-*")
    try:
        return git(repository, *describe).strip()
    except GitError:
        return "HEAD"


class Template:
    """A template in a clone of its repository, with the version to update to."""

    def __init__(self, address: str, directory: str, repository: Path, version: str, folder: Path) -> None:
        """Take the clone `repository` of `address`; the template is in its folder `directory`, renders in `folder`."""
        self.address = address
        self.directory = directory
        self.repository = repository
        self.folder = folder
        found = self.commit(version)
        if not found:
            raise Refused(f"{address} has no commit {version!r}")
        self.version = found

    def commit(self, name: str) -> str:
        """Return the id of the commit that `name` stands for, "" if there is none. GitError if git can't tell."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return git(self.repository, *arguments, allowed=1).strip()

    def recorded(self, name: str) -> str:
        """Return the id of the commit that a project records; fetch it if it is on no branch any more."""
        if found := self.commit(name):
            return found
        try:
            git(self.repository, "fetch", "--quiet", "--", "origin", name)
        except GitError as error:
            raise Refused(
                f"commit {name}, which {STATE} records, is in no branch or tag of {self.address}, and git can't fetch "
                f"it: {error}\nIf somebody has rewritten the template's history, a tag there on this commit helps"
            ) from None
        return self.commit(name)

    def is_ahead(self, commit: str) -> bool:
        """Tell whether `commit` has all that the version to update to has."""
        return not git(self.repository, "rev-list", "--max-count=1", f"{commit}..{self.version}")

    def declared(self, commit: str) -> Answers:
        """Return the content of cookiecutter.json at `commit`."""
        path = "/".join(filter(None, (self.directory, "cookiecutter.json")))
        try:
            declared: Answers = json.loads(git(self.repository, "show", f"{commit}:{path}"))
        except (GitError, ValueError) as error:
            raise Refused(f"{self.address} at {commit} has no {path} that can be read: {error}") from None
        return declared

    def render(self, commit: str, answers: Answers) -> Render:
        """Return the template at `commit`, rendered with `answers` by render.py."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        source = folder / "source"
        git(self.repository, "worktree", "add", "--quiet", "--detach", str(source), commit)
        request = folder / "request.json"
        wanted = {
            "source": str(source / self.directory),
            "template": self.address,
            "commit": commit,
            "answers": answers,
        }
        request.write_text(json.dumps(wanted), encoding="utf-8")
        output = folder / "output"
        output.mkdir()
        command = [sys.executable, str(Path(__file__).with_name("render.py")), str(request), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"{self.address} at {commit} can't be rendered:\n{done.stderr.strip()}")
        context = json.loads((output / "context.json").read_text(encoding="utf-8"))
        return Render(next(path for path in output.iterdir() if path.is_dir()), context)

    def news(self, old: str, new: str) -> list[str]:
        """Return the lines that were added to the CHANGELOG between `old` and `new`."""
        diff = git(self.repository, "diff", "--no-ext-diff", "--no-color", "--unified=0", old, new, "--", CHANGELOG)
        return [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]

    def history(self, old: str, new: str, path: str) -> list[str]:
        """Return the subjects of the commits between `old` and `new` that changed the source of the file `path`."""
        inside = git(self.repository, "ls-tree", "-d", "-z", "--name-only", f"{new}:{self.directory}").split("\0")
        project = next((name for name in inside if "{{" in name and "cookiecutter" in name), "")
        place = "/".join(filter(None, (self.directory, project, path)))
        command = ("--literal-pathspecs", "log", "--format=%h %s", f"{old}..{new}", "--", place)
        return git(self.repository, *command).splitlines()


def answers_for(declared: Answers, recorded: Answers, changes: Answers) -> Answers:
    """Return the recorded answers with `changes`, for a version whose cookiecutter.json is `declared`.

    Raises Refused, with all reasons at once, for a variable in `changes` that the template does not have and for an
    answer that it does not offer. cookiecutter.json names the successor of a choice that was retired:
    `"_retired": {variable: {old: new}}`.
    """
    asked = {name: value for name, value in declared.items() if not name.startswith("_")}
    wrong = []
    for name in changes.keys() - asked.keys():
        close = get_close_matches(name, asked, n=1)
        advice = f"did you mean {close[0]}?" if close else f"it has {', '.join(asked)}"
        wrong.append(f"the template has no variable {name}: {advice}")
    answers = {name: value for name, value in (recorded | changes).items() if name in asked}
    for name, value in answers.items():
        if JINJA.search(json.dumps(value)):
            wrong.append(f"{name} is {value!r}; allowed: no {{{{, {{% or {{#, which would be run as template code")
        if not isinstance(asked[name], list) or value in asked[name]:
            continue
        allowed = f"allowed: {', '.join(map(str, asked[name]))}"
        successor = declared.get("_retired", {}).get(name, {}).get(str(value))
        if successor:
            change = json.dumps({name: successor}, ensure_ascii=False)
            allowed = f"it was retired, and its successor is {successor!r}: make update VARS='{change}'"
        wrong.append(f"{name} is {value!r}, which the template does not offer; {allowed}")
    if wrong:
        raise Refused("\n".join(sorted(wrong)))
    return answers
