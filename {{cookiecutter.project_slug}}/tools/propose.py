"""Propose the template's new version as a change request: the scheduled job of CI.

    python tools/propose.py prepare     update the project on the branch template-update, lock again if necessary, run
                                        the checks, and write the branch to template-update.bundle; write no file if
                                        nothing is new, or if pyproject.toml says
                                            [tool.template-update]
                                            schedule = false
    python tools/propose.py push        push the branch in that file, and open its request or update its text

There are two steps since the first runs other people's code, hooks and checks, and must not have the right to push. It
needs a Python that has cookiecutter (`make` uses .tools/cookiecutter); the second needs nothing but, on GitHub, `gh`
with a token. A branch that is up to date stays as it is; one that a person has committed to is left alone.

Exit status 0, even with conflicts or failed checks, which the request reports; 2, with the reason, if no update is
possible.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import update
from merge import PYPROJECT, GitError, git
from update import Refused

BRANCH = "template-update"
BUNDLE = f"{BRANCH}.bundle"
# Marks our commits: a person may have committed to the branch since.
EMAIL = "template-update@localhost"
ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Template update",
    "GIT_AUTHOR_EMAIL": EMAIL,
    "GIT_COMMITTER_NAME": "Template update",
    "GIT_COMMITTER_EMAIL": EMAIL,
    # Fail rather than wait for a password that nobody enters.
    "GIT_TERMINAL_PROMPT": "0",
}
LONGEST = 60_000  # characters of a request's text; GitHub's limit is 65536
LAST_LINES = 40  # of failed checks


class TakenError(Exception):
    """A person has committed to the branch."""


def wanted(folder: Path) -> bool:
    """Tell whether pyproject.toml leaves the schedule on, as it does if it can't be read."""
    try:
        settings = tomllib.loads((folder / PYPROJECT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return settings.get("tool", {}).get("template-update", {}).get("schedule") is not False


def checks(folder: Path) -> str:
    """Lock again if necessary, run the checks, and return the result in Markdown."""
    command = ["make", "--no-print-directory", "after-update"]
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout, flush=True)
    if done.returncode == 0:
        return "`make check` passed on this branch."
    lines = update.indented(done.stdout.splitlines()[-LAST_LINES:])
    return "\n".join(["**`make check` failed on this branch.** Its last lines:", "", *lines])


def prepare(folder: Path) -> str:
    """Make the branch and write it to the bundle; return what was done. Raises Refused if no update is possible."""
    if not wanted(folder):
        return f"switched off in {PYPROJECT}"
    outcome = update.bring_up_to_date(folder, branch=BRANCH)
    if outcome.status == 2:
        raise Refused(outcome.why)
    if not outcome.text:
        return outcome.why
    git(folder, "switch", "--quiet", BRANCH)
    result = checks(folder) if not outcome.conflicts else "`make check` was not run: resolve the conflicts first."
    title, text = git(folder, "show", "--no-patch", "--format=%B", BRANCH).split("\n", 1)
    amend = ("commit", "--quiet", "--amend", "--no-verify", "--cleanup=verbatim", "--all", "--file=-")
    git(folder, *amend, stdin=f"{title}\n\n{result}\n{text}")
    git(folder, "bundle", "create", "--quiet", BUNDLE, f"{BRANCH}^..{BRANCH}")
    return f"{outcome.why}; {BUNDLE} holds it"


def publish(clone: Path, commit: str, remote: str = "origin", *options: str) -> str:
    """Push `commit` as the branch, with `options` for `git push`, and return the branch's tip.

    A tip with the same content and the same parent stays. Raises TakenError if a person has committed to the branch.
    """
    known = git(clone, "ls-remote", remote, f"refs/heads/{BRANCH}").split()
    tip = known[0] if known else ""
    if tip:
        git(clone, "fetch", "--quiet", "--depth=2", remote, f"refs/heads/{BRANCH}")
        tree, parents, committer = git(clone, "show", "--no-patch", "--format=%T%n%P%n%ce", tip).splitlines()
        if committer != EMAIL:
            raise TakenError(f"the branch {BRANCH} has commits of people: merge or delete it first")
        if [tree, parents] == git(clone, "show", "--no-patch", "--format=%T%n%P", commit).splitlines():
            return tip
    lease = f"--force-with-lease=refs/heads/{BRANCH}:{tip}"
    git(clone, "push", "--quiet", *options, lease, remote, f"{commit}:refs/heads/{BRANCH}")
    return git(clone, "rev-parse", commit).strip()


def gh(folder: Path, *arguments: str, stdin: str = "") -> str:
    """Return the output of GitHub's `gh`; GitError when it fails."""
    try:
        done = subprocess.run(  # noqa: S603
            ["gh", *arguments],  # noqa: S607
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise GitError(f"gh can't be run: {error}") from None
    if done.returncode:
        raise GitError(f"gh {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout


def propose_on_github(folder: Path, commit: str, title: str, text: str) -> str:
    """Push, then open a pull request or update the open one. A closed one for the same commit is not opened again."""
    gh(folder, "auth", "setup-git")
    tip = publish(folder, commit)
    asked = ("pr", "list", "--head", BRANCH, "--state", "all", "--json", "number,state,headRefOid")
    requests = json.loads(gh(folder, *asked))
    words = ("--title", title, "--body-file", "-")
    for one in requests:
        if one["state"] == "OPEN":
            gh(folder, "pr", "edit", str(one["number"]), *words, stdin=text)
            return f"pull request {one['number']} is up to date"
    if tip in (one["headRefOid"] for one in requests):
        return "people have closed the pull request of this very update: nothing to do"
    base = os.environ["GITHUB_REF_NAME"]
    return gh(folder, "pr", "create", "--head", BRANCH, "--base", base, *words, stdin=text).strip()


def propose_on_gitlab(folder: Path, commit: str, title: str, text: str) -> str:
    """Push with the options that make GitLab open a merge request, or update the text of the open one."""
    request = {
        "create": "",
        "target": os.environ["CI_COMMIT_REF_NAME"],
        "remove_source_branch": "",
        "title": title,
        # A push option is one line; GitLab turns these into line breaks.
        "description": text.replace("\n", "\\n"),
    }
    options = [f"--push-option=merge_request.{name}{value and f'={value}'}" for name, value in request.items()]
    tip = publish(folder, commit, os.environ["CI_REPOSITORY_URL"], *options)
    return f"{tip} is on the branch {BRANCH}, which has a merge request"


def push(folder: Path) -> str:
    """Push the branch in the bundle, and open or update its request; return what was done."""
    if not (folder / BUNDLE).exists():
        return "nothing to propose"
    git(folder, "fetch", "--quiet", BUNDLE, f"refs/heads/{BRANCH}")
    commit = git(folder, "rev-parse", "FETCH_HEAD").strip()
    title, text = git(folder, "show", "--no-patch", "--format=%B", commit).split("\n", 1)
    propose = propose_on_gitlab if os.environ.get("GITLAB_CI") else propose_on_github
    try:
        return propose(folder, commit, title, text.strip()[:LONGEST])
    except TakenError as error:
        return f"nothing was pushed: {error}"


def main() -> int:
    """Run one of the two steps in this folder; return the exit status."""
    parser = argparse.ArgumentParser(description="Propose the template's new version as a change request.")
    parser.add_argument("step", choices=["prepare", "push"])
    step = {"prepare": prepare, "push": push}[parser.parse_args().step]
    os.environ.update(ENVIRONMENT)
    try:
        print(f"propose: {step(Path.cwd())}")
    except (Refused, GitError) as error:
        print(f"propose: exit status 2: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
