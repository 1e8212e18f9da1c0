"""Run the generated pipelines on this machine, each job in a fresh checkout.

`act` runs GitHub's: it evaluates the workflow and hands its steps to the shell; only what `uses:` names is replaced, by
the small actions in ./actions. GitLab's is run here, as far as the generated file goes: workflow rules, variables,
stages, scripts, caches and artifacts. Anything that this does not know is an error.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ACT = str(Path(sys.executable).with_name("act"))


@dataclass(frozen=True)
class Event:
    """Something that starts a pipeline: GitHub's and GitLab's name of it, the reference, and its short name."""

    github: str
    gitlab: str
    ref: str
    name: str

    @property
    def tag(self) -> bool:
        """Whether it is a tag."""
        return self.ref.startswith("refs/tags/")


MAIN = Event("push", "push", "refs/heads/main", "main")
TAG = Event("push", "push", "refs/tags/v0.1.0", "v0.1.0")
SCHEDULE = Event("schedule", "schedule", "refs/heads/main", "main")
REQUEST = Event("pull_request", "merge_request_event", "refs/pull/1/merge", "topic")
EVENTS = (MAIN, TAG, REQUEST)


@dataclass(frozen=True)
class Pipeline:
    """The end of a pipeline: its status (0: all jobs went well), what it printed, and the folder of its artifacts."""

    status: int
    log: str
    artifacts: Path


@dataclass(frozen=True)
class Machine:
    """What every pipeline of a test finds: environment, and a folder of its own for homes, caches and artifacts."""

    folder: Path
    env: Mapping[str, str]

    def fresh(self, name: str) -> Path:
        """Return a new, empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def home(self) -> Path:
        """Return a new home folder, in which `docker` finds its plugins."""
        path = self.fresh("home")
        (path / ".docker").mkdir()
        (path / ".docker/cli-plugins").symlink_to(self.env["PIPELINE_DOCKER_PLUGINS"])
        return path


def commit(repository: Path, remote: str) -> None:
    """Make a repository of the project in `repository`, with the references that the events name."""

    def git(*words: str) -> None:
        identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
        subprocess.run(["git", *identity, *words], cwd=repository, check=True, capture_output=True)

    if not (repository / ".git").exists():
        git("init", "--quiet", "--initial-branch=main")
        git("remote", "add", "origin", remote)
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message=A change")
    for ref in (TAG.ref, REQUEST.ref):
        git("update-ref", ref, "HEAD")


def shell(command: list[str], folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` with no other environment than `env`; stdout and stderr are one."""
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run_github(machine: Machine, source: Path, event: Event, *options: str) -> Pipeline:
    """Run the workflows of the repository `source` for `event`; `options` are act's, which ignores `paths`."""
    home, artifacts = machine.home(), machine.fresh("artifacts")
    details = machine.folder / "event.json"
    request = {"head": {"ref": event.name}, "base": {"ref": "main"}}
    facts = {
        "ref": event.ref,
        "number": 1,
        "pull_request": request,
        "repository": {"private": "PRIVATE" in machine.env},
    }
    details.write_text(json.dumps(facts))
    used: set[str] = set()
    for workflow in (source / ".github/workflows").iterdir():
        used.update(re.findall(r"uses: ([^\s./][^\s]+@\S+)", workflow.read_text(encoding="utf-8")))
    command = [ACT, event.github, "--eventpath", str(details), *options]
    # On this machine instead of in an image, and without a word to the network.
    command += ["--platform", "ubuntu-24.04=-self-hosted", "--no-skip-checkout", "--action-offline-mode"]
    command += ["--no-cache-server", "--pull=false", "--secret", "GITHUB_TOKEN=token"]
    command += ["--action-cache-path", str(home / ".act"), "--env-file", "/dev/null"]
    for action in sorted(used):
        command += ["--local-repository", f"{action}={HERE / 'actions' / action.split('@')[0].split('/')[1]}"]
    env = {
        "HOME": str(home),
        "PIPELINE_SOURCE": str(source),
        "PIPELINE_CACHE": str(machine.folder / "cache"),
        "PIPELINE_ARTIFACTS": str(artifacts),
    }
    done = shell(command, source, {**machine.env, **env})
    if done.returncode == 0:
        keep(machine.folder / "cache")
    return Pipeline(done.returncode, done.stdout, artifacts)


def keep(cache: Path) -> None:
    """Do what actions/cache does after a job that went well: keep its folders for the next run, if the key is new."""
    if not (cache / "key").exists():
        return
    archive = cache / f"{(cache / 'key').read_text().strip()}.tar"
    places = [place for place in (cache / "places").read_text().split() if Path(place).exists()]
    if places and not archive.exists():
        subprocess.run(["tar", "-cPf", archive, *places], check=True)


def holds(condition: str, variables: Mapping[str, str]) -> bool:
    """Tell whether GitLab's `condition` is true: $A, $A == "text" or !=, $A == $B, or $A =~ /pattern/."""
    if "!=" in condition:
        return not holds(condition.replace("!=", "=="), variables)
    if re.fullmatch(r"\$\w+", condition):
        return bool(variables.get(condition[1:]))
    form = re.fullmatch(r'\$(\w+) (?:== "([^"]*)"|== \$(\w+)|=~ /(.+)/)', condition)
    assert form, f"a condition of a form that is not known here: {condition}"
    name, text, other, pattern = form.groups()
    value = variables.get(name)
    if pattern is not None:
        return re.search(pattern, value or "") is not None
    return value == (variables.get(other) if other else text)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with $NAME replaced by the variable's value."""
    return re.sub(r"\$(\w+)", lambda found: variables.get(found[1], ""), text)


def gitlab_variables(event: Event, image: str) -> dict[str, str]:
    """Return the variables that GitLab sets for `event`, in a project whose image has the name `image`, or none."""
    found = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_PIPELINE_SOURCE": event.gitlab,
        "CI_DEFAULT_BRANCH": "main",
        "CI_COMMIT_REF_NAME": event.name,
        "CI_PROJECT_URL": "https://gitlab.com/team/service",
        "CI_REPOSITORY_URL": "https://gitlab-ci-token:token@gitlab.com/team/service.git",
        "CI_SERVER_HOST": "gitlab.com",
        "CI_JOB_TOKEN": "token",
    }
    if image:
        found |= {"CI_REGISTRY_IMAGE": image, "CI_REGISTRY": image.split("/")[0]}
        found |= {"CI_REGISTRY_USER": "user", "CI_REGISTRY_PASSWORD": "token"}
    if event.tag:
        found["CI_COMMIT_TAG"] = event.name
    elif event.gitlab in ("push", "schedule"):
        found["CI_COMMIT_BRANCH"] = event.name
    return found


KNOWN = {
    *("artifacts", "before_script", "cache", "environment", "image", "interruptible", "needs"),
    *("resource_group", "rules", "script", "services", "stage", "variables"),
}


def run_gitlab_job(
    machine: Machine, source: Path, ref: str, job: dict[str, Any], variables: dict[str, str]
) -> Pipeline:
    """Run one job of the repository `source` at `ref`, in a fresh checkout; an equal key of the cache is supposed.

    A job with an environment has its variable, TEMPLATE_UPDATE_TOKEN; one with `needs` has the artifacts so far.
    """
    assert job.keys() <= KNOWN, f"a job has keys that are not known here: {sorted(job.keys() - KNOWN)}"
    checkout, home = machine.fresh("checkout"), machine.home()
    variables = {**variables, "CI_PROJECT_DIR": str(checkout)}
    variables |= {name: expand(value, variables) for name, value in job.get("variables", {}).items()}
    if "environment" in job:
        variables["TEMPLATE_UPDATE_TOKEN"] = "secret"
    if variables.get("GIT_STRATEGY") != "none":
        subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
        subprocess.run(["git", "remote", "add", "origin", variables["CI_REPOSITORY_URL"]], cwd=checkout, check=True)
        subprocess.run(["git", "fetch", "--quiet", "--depth=1", f"file://{source}", ref], cwd=checkout, check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach", "FETCH_HEAD"], cwd=checkout, check=True)
    if "needs" in job:
        shutil.copytree(machine.folder / "artifacts", checkout, dirs_exist_ok=True)
    cache = {checkout / path: machine.folder / "cache" / path for path in job.get("cache", {}).get("paths", [])}
    for used, kept in cache.items():
        if kept.exists():
            shutil.copytree(kept, used, symlinks=True)
    script = "\n".join([*job.get("before_script", []), *job["script"]])
    done = shell(["sh", "-ec", script], checkout, {**machine.env, "HOME": str(home), **variables})
    artifacts = machine.folder / "artifacts"
    for pattern in job.get("artifacts", {}).get("paths", []):
        for path in checkout.glob(pattern):
            shutil.copy(path, artifacts)
    for used, kept in cache.items():
        if done.returncode == 0 and used.exists():
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(used, kept, symlinks=True)
    return Pipeline(done.returncode, done.stdout, artifacts)


def changed(source: Path, ref: str) -> set[str]:
    """Return the files that the last commit of `ref` changes."""
    command = ["git", "show", "--format=", "--name-only", ref]
    return set(subprocess.run(command, cwd=source, check=True, capture_output=True, text=True).stdout.split())


def wanted(job: dict[str, Any], variables: Mapping[str, str], files: set[str]) -> dict[str, Any] | None:
    """Return the rule that puts a job into the pipeline of a commit that changes `files`; None if none does."""
    rule: dict[str, Any]
    for rule in job.get("rules", [{}]):
        assert rule.keys() <= {"if", "changes", "when", "allow_failure"}, f"a rule that is not known here: {rule}"
        touched = "changes" not in rule or not files.isdisjoint(rule["changes"])
        if touched and ("if" not in rule or holds(rule["if"], variables)):
            return None if rule.get("when") == "never" else rule
    return None


def run_gitlab(machine: Machine, source: Path, event: Event, image: str, *only: str) -> Pipeline | None:
    """Run the pipeline of the repository `source` for `event`; None when its rules want no pipeline.

    `image` is the name of the project's image, empty when the project has no registry; `only` these jobs are run.
    """
    artifacts = machine.fresh("artifacts")
    config: dict[str, Any] = yaml.safe_load((source / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    variables = gitlab_variables(event, image)
    chosen = next((rule for rule in config["workflow"]["rules"] if holds(rule["if"], variables)), None)
    if chosen is None:
        return None
    variables |= config.get("variables", {}) | chosen.get("variables", {})
    for included in config.get("include", []):
        config |= yaml.safe_load((source / included["local"]).read_text(encoding="utf-8"))
    jobs = {name: job for name, job in config.items() if isinstance(job, dict) and "stage" in job}
    assert config.keys() - jobs.keys() <= {"include", "stages", "variables", "workflow"}, "something is not known here"
    files = changed(source, event.ref)
    rules = {name: rule for name, job in jobs.items() if (rule := wanted(job, variables, files)) is not None}
    log = ""
    for name in sorted(rules, key=lambda name: config["stages"].index(jobs[name]["stage"])):
        if only and name not in only:
            continue
        done = run_gitlab_job(machine, source, event.ref, jobs[name], variables)
        log += done.log
        if done.status and not rules[name].get("allow_failure"):
            return Pipeline(done.status, log, artifacts)
    return Pipeline(0, log, artifacts)
