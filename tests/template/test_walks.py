"""The walks of CONTRIBUTING: what offering one more value takes, done on a copy of the template."""

import re
import shutil
import sys
from pathlib import Path

from tests.helpers.combinations import CHOICES, ROOT
from tests.helpers.project import run

# There is nothing to ask an engine in these walks.
WITHOUT_ENGINE = {"LAB": "0", "DOCKER_HOST": "unix:///nowhere.sock"}


class Walk:
    """A copy of the template in which one more value of a choice is to be offered."""

    def __init__(self, folder: Path, choice: str, value: str) -> None:
        """Copy what git tracks into `folder`, and offer `value` in cookiecutter.json."""
        self.folder, self.choice, self.value = folder, choice, value
        for name in run("git", "ls-files", cwd=ROOT).stdout.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        run("git", "init", "--quiet", cwd=folder)
        run("git", "add", "--all", cwd=folder)
        first = CHOICES[choice][0]
        self.edit("cookiecutter.json", rf'"{choice}": \["{first}"', rf'\g<0>, "{value}"')
        self.edit("cookiecutter.json", rf'\n( +)"{first}": "{first}.*",', rf'\g<0>\n\1"{value}": "{value}: a label",')

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        """Replace what `pattern` matches in a file, which must be there once."""
        path = self.folder / name
        text, count = re.subn(pattern, replacement, path.read_text())
        assert count == 1, f"{name}: {pattern} is there {count} times"
        path.write_text(text)

    def combine(self) -> None:
        """Add rows that pair the value with those of the other choices."""
        name = "tests/helpers/combinations.py"
        number = max(len(values) for choice, values in CHOICES.items() if choice != self.choice)
        for index in range(number):
            values = [
                self.value if choice == self.choice else offered[index % len(offered)]
                for choice, offered in CHOICES.items()
            ]
            self.edit(name, r"MUST_WORK: .+\n( +row.+\n)+", rf"\g<0>    row{(*values,)},\n")

    def image(self, python: str, service: str) -> None:
        """Add an image to those that are built."""
        row = rf'    image("{python}", "{service}", "none", "slim"),\n'
        self.edit("tests/helpers/combinations.py", r"IMAGES: .+\n( +image.+\n)+", rf"\g<0>{row}")

    def lock(self, python: str, service: str, like: str) -> None:
        """Make a lock like another one, instead of by `make locks`, which asks an index."""
        locks = self.folder / "templates/locks"
        shutil.copy(locks / f"{like}.lock", locks / f"{python}-{service}.lock")
        upper = f"3.{int(python.split('.')[1]) + 1}"
        self.edit(
            f"templates/locks/{python}-{service}.lock",
            r"(\[metadata\]\n.*\npython-versions = ).+",
            rf'\1">={python},<{upper}"',
        )

    def finish(self) -> set[str]:
        """Make the pages and test the choices; return the files that are new or changed."""
        run("git", "add", "--all", "--intent-to-add", cwd=self.folder)
        run(sys.executable, "-m", "scripts.docs", cwd=self.folder, env=WITHOUT_ENGINE)
        tests = (
            "-m",
            "pytest",
            "-n0",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/template/test_choices.py",
            "-k",
            "not declaration and not images_cover",
        )
        run(sys.executable, *tests, cwd=self.folder)
        return set(run("git", "diff", "--name-only", cwd=self.folder).stdout.splitlines())

    def render(self, **answers: str) -> Path:
        """Return a project rendered from the copy."""
        out = self.folder / "out" / "-".join(answers.values())
        given = [f"{name}={value}" for name, value in answers.items()]
        run("cookiecutter", "--no-input", "--default-config", self.folder, "-o", out, *given)
        return out / "example-service"


def section(title: str) -> str:
    """Return the text below a heading of CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.partition(f"### {title}\n")[2].partition("\n##")[0]


READMES = {"README.md", "README.ko.md"}


def test_a_python_version(tmp_path: Path) -> None:
    newest = max(CHOICES["python_version"], key=lambda version: int(version.split(".")[1]))
    value = f"3.{int(newest.split('.')[1]) + 1}"
    walk = Walk(tmp_path, "python_version", value)
    walk.edit("cookiecutter.json", f'"{value}: a label"', f'"{value} (security fixes until 2099-10)"')
    walk.combine()
    for service in CHOICES["service_type"]:
        walk.image(value, service)
        walk.lock(value, service, like=f"{newest}-{service}")
    made = {f"templates/locks/{value}-{service}.lock" for service in CHOICES["service_type"]} | READMES
    by_hand = {"cookiecutter.json", "tests/helpers/combinations.py"}
    assert walk.finish() == by_hand | made
    assert f"PYTHON_VERSION={value}" in (walk.render(python_version=value) / "Dockerfile").read_text()
    assert all(f"`{name}`" in section("Add a Python version") for name in by_hand)
    assert f"By hand that is {len(by_hand)} files" in section("Add a Python version")


def test_a_mirror(tmp_path: Path) -> None:
    walk = Walk(tmp_path, "mirror", "acme")
    entry = (
        r'  "acme": {"pypi": "https://nexus.example.com/pypi/simple/", "debian": "https://nexus.example.com/debian"},'
    )
    walk.edit("templates/mirrors.jinja", r"\n} -%}", rf"\n{entry}\g<0>")
    walk.combine()
    by_hand = {"cookiecutter.json", "templates/mirrors.jinja", "tests/helpers/combinations.py"}
    assert walk.finish() == by_hand | READMES
    assert "nexus.example.com" in (walk.render(mirror="acme") / "docker/pip.conf").read_text()
    assert all(f"`{name}`" in section("Add a mirror") for name in by_hand)
    assert f"By hand that is {len(by_hand)} files" in section("Add a mirror")


def test_a_service_type(tmp_path: Path) -> None:
    """One that another type's loop runs, with a module of its own for the team."""
    walk = Walk(tmp_path, "service_type", "listener")
    walk.edit("templates/services.jinja", r'\n  "worker": \{\n((    .+\n)+)  \},', r'\g<0>\n  "listener": {\n\1  },')
    declaration = r'(?s)("listener": \{.+?"module": )"worker"(.+?)src/PACKAGE/worker(.+?)tests/test_worker'
    walk.edit("templates/services.jinja", declaration, r'\1"listener"\2src/PACKAGE/listener\3tests/test_listener')
    code = "{{cookiecutter.project_slug}}/src/{{cookiecutter.package_name}}/listener.py"
    test = "{{cookiecutter.project_slug}}/tests/test_listener.py"
    for name in (code, test):
        text = (tmp_path / name.replace("listener", "worker")).read_text()
        (tmp_path / name).write_text(text.replace("worker", "listener"))
    walk.combine()
    for python in CHOICES["python_version"]:
        walk.image(python, "listener")
        walk.lock(python, "listener", like=f"{python}-worker")
    made = {f"templates/locks/{python}-listener.lock" for python in CHOICES["python_version"]} | READMES
    by_hand = {"cookiecutter.json", "templates/services.jinja", "tests/helpers/combinations.py", code, test}
    assert walk.finish() == by_hand | made
    for service, others in (("listener", "worker"), ("worker", "listener")):
        project = walk.render(service_type=service)
        assert (project / f"src/example_service/{service}.py").exists()
        assert not (project / f"src/example_service/{others}.py").exists()
        assert (project / "src/service_runtime/loop.py").exists()
    assert f"By hand that is {len(by_hand)} files" in section("Add a service type")
