"""The runtime contract: it holds for every kind of image, and each point goes red when it is broken, and no other.

`scripts/check_image.py` of the rendered project is run unchanged, as `make check-image` runs it.
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.combinations import ROOT, Answers, identify
from tests.conftest import Bake, Engine, Project, index_environment, lab, run, unavailable
from tests.test_image import IMAGES

Build = Callable[..., tuple[Project, str]]

# Changes a file of the project inside an image, with its entry in RECORD and, unless STALE is set, its bytecode.
PATCH = """
import base64, hashlib, os, py_compile, sys
from pathlib import Path
name, old, new = sys.argv[1:]
path = next(Path("/app/lib").glob(f"*/{name}"))
text = path.read_text()
assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
path.write_text(text.replace(old, new))
digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
record = next(Path("/app/lib").glob("*.dist-info/RECORD"))
lines = [line.split(",") for line in record.read_text().splitlines()]
for line in lines:
    if line[0] == str(path.relative_to("/app/lib")):
        line[1:] = [f"sha256={digest}", str(path.stat().st_size)]
record.write_text("".join(",".join(line) + "\\n" for line in lines))
if "STALE" not in os.environ:
    py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def patch(name: str, old: str, new: str, environment: str = "") -> str:
    """Return a Dockerfile's line that replaces `old` by `new` in a file of the project's package."""
    words = json.dumps(["/app/.venv/bin/python", "/context/patch.py", name, old, new])
    if environment:
        words = json.dumps(["env", environment, *json.loads(words)])
    return f"RUN --mount=type=bind,target=/context {words}"


SITE = "/app/.venv/lib/python3*/site-packages"
# Another package in the environment, complete with its RECORD.
STRANGER = (
    f"RUN cd {SITE} && mkdir stranger-1.dist-info && cd stranger-1.dist-info"
    " && printf 'Name: stranger\\nVersion: 1\\n' >METADATA"
    " && printf 'stranger-1.dist-info/METADATA,sha256=%s,25\\nstranger-1.dist-info/RECORD,,\\n' "
    "\"$(/app/.venv/bin/python -c 'import base64, hashlib; print(base64.urlsafe_b64encode(hashlib.sha256("
    'open("METADATA", "rb").read()).digest()).decode().rstrip("="))\')" >RECORD'
)
SHOW_ENVIRONMENT = 'import logging, os; logging.info("%s", dict(os.environ)); app = FastAPI()'

# What breaks each point: a line of a Dockerfile that begins with the good image.
IN_FILES = {
    "files: /app and the path can't be changed": "RUN chmod o+w /usr/local/bin",
    "files: none setuid or setgid": "RUN chmod u+s /usr/bin/env",
    "files: no tool, package manager or cache": "RUN touch /usr/bin/pip3",
    "files: no secret, source tree, lock or test": "RUN mkdir -p /srv && touch /srv/.env",
    "packages: exactly poetry.lock's main group": STRANGER,
    "packages: every file as in its wheel's RECORD": f"RUN cd {SITE} && echo >>pydantic/py.typed",
    "bytecode: that of the sources": patch("__init__.py", "The service", "A service", "STALE=1"),
    "labels: true to the project": "LABEL org.opencontainers.image.version=9.9.9",
    "size: within the budget": "RUN mkdir -p /srv && head -c 2000000 /dev/zero >/srv/big # mirror.py apt",
}
USER = {"user: a number, not root": "USER nobody"}
IN_FASTAPI = {
    "start: healthy within 5 s": patch(
        "app.py", '"""The HTTP API."""', 'import os, time; time.sleep(6 * ("API_TOKEN" in os.environ))'
    ),
    "start: read-only, no capability or new privilege": "RUN mkdir -p /srv && chmod 777 /srv\n"
    + patch("app.py", '"""The HTTP API."""', 'open("/srv/started", "w").close()'),
    "start: as any user": "RUN chgrp 10001 /app/lib/* && chmod o= /app/lib/*",
    "start: without a network": patch("app.py", '"""The HTTP API."""', 'import os; os.stat("/sys/class/net/eth0")'),
    "start: compiles nothing": "RUN rm /app/bytecode/app/lib/*/stop.*.pyc",
    "start: within limits": patch("app.py", '"""The HTTP API."""', 'HOG = b"x" * 200_000_000'),
    "settings: a wrong one ends it with one line": patch("settings.py", "sys.exit(2)", "sys.exit(1)"),
    "settings: honours PORT": patch("server.py", "port=settings.port", "port=8000"),
    "ready: /readyz and /healthz answer 200": patch(
        "app.py", 'return "ready"', 'response.status_code = 500; return ""'
    ),
    "health: a hanging service is unhealthy": patch(
        "healthcheck.py", 'connection.recv(len("HTTP/1.1 200")).decode("latin-1")', '"it has taken the call: 200"'
    ),
    "processes: no zombie stays": patch("init.py", "os.waitpid(-1, os.WNOHANG)", "os.waitpid(child, os.WNOHANG)"),
    "logs: a JSON object per line, at once": patch("app.py", "app = FastAPI()", 'print("hello"); app = FastAPI()'),
    "logs: a traceback inside its object": patch("logs.py", "sys.excepthook = _log_uncaught", "pass"),
    "logs: no secret": patch("app.py", "app = FastAPI()", SHOW_ENVIRONMENT),
    "stop: idle, status 0 within 1 s": patch(
        "stop.py", "signal.SIGINT, self._receive", "signal.SIGINT, signal.SIG_DFL"
    ),
    "stop: every request is answered": patch("server.py", '(b"connection", b"close")', '(b"x-ending", b"true")'),
    "stop: /readyz goes false first": patch("app.py", "if stop.requested:", "if False:"),
    "stop: a second signal ends it at once": patch("stop.py", "os._exit(128 + number)", "return"),
}
IN_WORKER = {
    # Less than the job takes, much more than what lies between two signals.
    "stop: the job in hand is finished or given back": patch(
        "worker.py", 'logger.info("started")', 'stop.timeout = 1; logger.info("started")'
    ),
    "health: a hanging service is unhealthy": patch("healthcheck.py", "return left >= 0,", "return True,"),
    "settings: a wrong one ends it with one line": patch("settings.py", "sys.exit(2)", "sys.exit(1)"),
}
STATIC = ("user", "files", "packages", "bytecode", "labels", "size")


@pytest.fixture(scope="module")
def build(cookies_session: Any, engine: Engine) -> Build:
    """Return a function that bakes a project and builds its image, once for the same answers."""
    built: dict[str, tuple[Project, str]] = {}

    def build(**answers: str) -> tuple[Project, str]:
        version = answers.get("python_version", "3.14")
        engine.need(version)
        key = json.dumps(answers, sort_keys=True)
        if key not in built:
            result = cookies_session.bake(extra_context=answers, template=str(ROOT))
            assert result.exit_code == 0, result.exception
            project = Project(result.project_path, result.context)
            built[key] = (project, engine.build(project, "--build-arg", "VERSION=0.1.0")[0])
        return built[key]

    return build


@pytest.fixture
def broken(engine: Engine, tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that makes an image from a good one and the lines of a Dockerfile."""

    def broken(image: str, lines: str) -> str:
        tag = f"{image}-{len(engine.images)}"
        engine.images.append(tag)
        (tmp_path / "patch.py").write_text(PATCH)
        last = "" if "USER" in lines else "USER 10001:10001"
        (tmp_path / "Dockerfile").write_text(f"FROM {image}\nUSER root\n{lines}\n{last}\n")
        engine.docker("build", "--quiet", "--network", "none", "--tag", tag, str(tmp_path))
        return tag

    return broken


def check_image(project: Project, image: str, *words: str, engine: str = "docker") -> dict[str, tuple[bool, str]]:
    """Run the project's own check; return whether each point held, and what was seen."""
    command = (sys.executable, "scripts/check_image.py", image, *words)
    done = run(*command, cwd=project.path, env={"DOCKER": engine}, check=False)
    lines = re.findall(r"^(held  |FAILED) (.{50}) (.*)$", done.stdout, re.MULTILINE)
    assert lines, done.stdout + done.stderr
    found = {name.strip(): (held == "held  ", seen) for held, name, seen in lines}
    failed = sum(not held for held, _ in found.values())
    assert done.returncode == (1 if failed else 0)
    assert len(re.findall("^ +to put it right: .+", done.stdout, re.MULTILINE)) == failed
    return found


def red(found: dict[str, tuple[bool, str]], expected: str = "") -> dict[str, str]:
    """Return the points that did not hold, with what was seen.

    While others keep the machine busy, being late tells nothing; the expected point counts all the same.
    """
    busy = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
    late = re.compile(r"(SIG\w+: |healthy )?after [\d.]+ s")
    excused = {name for name, (_, seen) in found.items() if busy and name != expected and late.fullmatch(seen)}
    return {name: seen for name, (held, seen) in found.items() if not held and name not in excused}


def load(project: Project) -> ModuleType:
    """Return the project's check_image.py as a module."""
    module = ModuleType("check_image")
    sys.modules["check_image"] = module
    exec(compile(project.read("scripts/check_image.py"), "check_image.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("answers", IMAGES, ids=identify)
def test_holds(build: Build, answers: Answers) -> None:
    project, image = build(**answers)
    assert red(check_image(project, image)) == {}


def test_holds_under_podman(bake: Bake, engine: Engine) -> None:
    """Built by Buildah and run by Podman, both from Debian's packages."""
    if not lab():
        unavailable("this test needs the lab's Podman, and the lab is not in use")
    podman = run(ROOT / "tests/lab/lab", "podman").stdout.split()[-1]
    project = bake()
    suite = engine.suites[project.answers["python_version"]]
    flags = " ".join(engine.build_flags)
    project.make("image", f"DOCKER={podman}", f"DEBIAN_SUITE={suite}", f"BUILD_FLAGS={flags}", "IMAGE=contract")
    assert red(check_image(project, "contract", engine=podman)) == {}


def test_every_point_can_fail(bake: Bake) -> None:
    fastapi = [point.name for point in load(bake()).CONTRACT]
    worker = [point.name for point in load(bake(service_type="worker")).CONTRACT]
    assert sorted(fastapi) == sorted({**USER, **IN_FILES, **IN_FASTAPI})
    assert set(worker) - set(fastapi) == set(IN_WORKER) - set(fastapi)


@pytest.mark.parametrize("name", [*USER, *IN_FILES])
def test_breaks_in_files(build: Build, broken: Callable[[str, str], str], name: str) -> None:
    project, image = build()
    found = check_image(project, broken(image, {**USER, **IN_FILES}[name]), *STATIC)
    assert list(red(found)) == [name], red(found)


def test_breaks_in_files_leave_the_rest_green(build: Build, broken: Callable[[str, str], str]) -> None:
    project, image = build()
    assert list(red(check_image(project, broken(image, "\n".join(IN_FILES.values()))))) == list(IN_FILES)


@pytest.mark.parametrize("name", IN_FASTAPI)
def test_breaks_in_the_service(build: Build, broken: Callable[[str, str], str], name: str) -> None:
    project, image = build()
    found = red(check_image(project, broken(image, IN_FASTAPI[name])), name)
    assert list(found) == [name], found


@pytest.mark.parametrize("name", IN_WORKER)
def test_breaks_in_the_worker(build: Build, broken: Callable[[str, str], str], name: str) -> None:
    project, image = build(service_type="worker")
    found = red(check_image(project, broken(image, IN_WORKER[name])), name)
    assert list(found) == [name], found


def test_says_what_grew(build: Build, broken: Callable[[str, str], str]) -> None:
    project, image = build()
    line = f"RUN cd {SITE} && mkdir whale && head -c 30000000 /dev/zero >whale/blob"
    seen = red(check_image(project, broken(image, line), "size"))["size: within the budget"]
    assert re.match(r"venv \d+\.\d of \d+ MB \(largest: whale 30\.0; ", seen)


def test_an_image_that_is_not_there(bake: Bake, engine: Engine) -> None:
    assert engine.suites
    done = run(sys.executable, "scripts/check_image.py", "no-such-image", cwd=bake().path, check=False)
    assert done.returncode == 2
    assert "no-such-image can't be examined" in done.stderr
    assert "Traceback" not in done.stderr


MARKERS = {
    'python_version < "3.15"': True,
    'python_version >= "3.9" and python_version < "3.14"': False,
    'python_full_version < "3.14.0" or sys_platform == "linux"': True,
    'sys_platform != "win32" and (platform_machine == "aarch64" or implementation_name == "cpython")': True,
    'platform_python_implementation != "PyPy" and extra == "fast"': False,
    '"linux" in sys_platform': True,
}


@pytest.mark.parametrize("marker", MARKERS)
def test_markers(bake: Bake, marker: str) -> None:
    values = {
        "python_version": "3.14",
        "python_full_version": "3.14.8",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    assert load(bake()).marker_holds(marker, values) is MARKERS[marker]


@pytest.mark.parametrize("marker", ['python_version ~= "3.9"', "os.system('true')", 'unheard_of == "x"'])
def test_markers_that_are_not_understood(bake: Bake, marker: str) -> None:
    module = load(bake())
    with pytest.raises(module.Broken, match="is not understood"):
        module.marker_holds(marker, {"python_version": "3.14"})


ORIGINS = {
    "/srv/git/x.git": "",
    "https://user:canary-password@example.com/team/x.git": "https://example.com/team/x.git",
    "git@example.com:team/x.git": "https://example.com/team/x.git",
    "ssh://git@example.com:2222/team/x.git": "https://example.com/team/x.git",
    "ssh://example.com/team/x.git": "https://example.com/team/x.git",
}


def test_make_image_fills_in_the_labels(bake: Bake, engine: Engine) -> None:
    project = bake(project_slug="labelled", license="MIT", description='Costs $5 & is "quoted" \\ here')
    settings = {"IMAGE": "template-test/labelled", "DEBIAN_SUITE": engine.suites["3.14"]}
    engine.images.append(settings["IMAGE"])

    def label(name: str) -> str:
        """Return a label of the image, built anew."""
        project.make("image", env={**settings, "BUILD_FLAGS": " ".join(engine.build_flags)})
        assert "canary-password" not in engine.docker("image", "inspect", settings["IMAGE"]).stdout
        assert "canary-password" not in engine.docker("history", "--no-trunc", settings["IMAGE"]).stdout
        return str(engine.inspect(settings["IMAGE"], ".Config.Labels")[f"org.opencontainers.image.{name}"])

    def git(command: str) -> str:
        return run("git", *command.split(), cwd=project.path).stdout.strip()

    # In the folder of another project's repository.
    git("init --quiet")
    git("commit --quiet --allow-empty --message=other")
    git("remote add origin https://example.com/team/other.git")
    assert (label("source"), label("revision"), label("created")) == ("", "", "")
    assert red(check_image(project, settings["IMAGE"], "labels")) == {}

    git("add --all")
    git("commit --quiet --message=first")
    for origin, source in ORIGINS.items():
        git(f"remote set-url origin {origin}")
        assert label("source") == source
    assert red(check_image(project, settings["IMAGE"], "labels", "packages")) == {}
    assert label("revision") == git("rev-parse HEAD")
    # A further commit makes the image old.
    git("commit --quiet --allow-empty --message=second")
    assert list(red(check_image(project, settings["IMAGE"], "labels"))) == ["labels: true to the project"]


def test_sbom_is_exactly_what_is_in_the_image(build: Build, engine: Engine) -> None:
    project, image = build()
    settings = {"IMAGE": image, **index_environment()}
    project.make("sbom", env=settings)
    text = project.read("sbom.cdx.json")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["purl"].partition("?")[0].partition("@")[0]: part["version"] for part in bill["components"]}
    assert len(parts) == len(bill["components"])

    def inside(program: str, *arguments: str) -> str:
        return engine.docker("run", "--rm", "--entrypoint", program, image, *arguments).stdout

    debian = dict(line.split() for line in inside("dpkg-query", "-W", "-f", "${Package} ${Version}\n").splitlines())
    source = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    python = dict(line.split() for line in inside("/app/.venv/bin/python", "-c", source).splitlines())
    slug = project.answers["project_slug"]
    assert python.pop(slug) == bill["metadata"]["component"]["version"] == "0.1.0"
    assert bill["metadata"]["component"]["name"] == slug
    want = {f"pkg:deb/debian/{name}": version for name, version in debian.items()}
    want |= {f"pkg:pypi/{name.lower().replace('_', '-')}": version for name, version in python.items()}
    want |= {"pkg:generic/python": inside("/app/.venv/bin/python", "-V").split()[1]}
    assert parts == want
    assert all("licenses" in part for part in bill["components"] if part["purl"].startswith("pkg:pypi/pydantic@"))
    # The same image gives the same bill.
    project.make("sbom", env=settings)
    assert project.read("sbom.cdx.json") == text


@pytest.mark.parametrize("service", ["fastapi", "worker"])
def test_kubernetes_example_grants_what_the_contract_proves(bake: Bake, service: str) -> None:
    project = bake(service_type=service)
    path = project.path / "deploy/kubernetes.yaml"
    run("kubernetes-validate", "--strict", path)
    run("kubernetes-validate", "--strict", "--kubernetes-version", "1.34", path)
    parts = {part["kind"]: part for part in yaml.safe_load_all(path.read_text())}
    assert set(parts) == {"Deployment", "PodDisruptionBudget"} | ({"Service"} if service == "fastapi" else set())
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    module = load(project)

    # Pod Security Standards, restricted; and the options that check_image.py runs with.
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in project.read(
        "Dockerfile"
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    (volume,) = pod["volumes"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    size = volume["emptyDir"]["sizeLimit"].removesuffix("Mi")
    assert (
        *("--read-only", "--tmpfs", f"/tmp:size={size}m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    ) == module.HARDENED
    limits = container["resources"]["limits"]
    memory, cpu = limits["memory"].removesuffix("Mi"), int(limits["cpu"].removesuffix("m")) / 1000
    assert ("--memory", f"{memory}m", "--cpus", str(cpu), "--pids-limit", "64") == module.LIMITS

    default = tomllib.loads(project.read("pyproject.toml"))["project"]["version"]
    assert container["image"].endswith(f"/{project.answers['project_slug']}:{default}")
    if service == "fastapi":
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
        assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    else:
        assert container["livenessProbe"]["exec"]["command"][-1] == f"{project.package}.healthcheck"
    grace = pod["terminationGracePeriodSeconds"]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    timeout = re.search(
        r"shutdown_timeout: .*= (\d+)$", project.read(f"src/{project.package}/settings.py"), re.MULTILINE
    )
    assert timeout
    assert grace > sleep + int(timeout[1])


def test_a_wrong_manifest_is_refused(bake: Bake) -> None:
    project = bake()
    text = project.read("deploy/kubernetes.yaml")
    project.write("deploy/kubernetes.yaml", text.replace("maxUnavailable: 1", "maxUnavailable: [1]"))
    assert run("kubernetes-validate", "--strict", project.path / "deploy/kubernetes.yaml", check=False).returncode != 0
