"""Run the test suite: `make test`, which calls `test.py [pytest options]`.

The image tests use a running Docker engine. Without one, this brings up the project's own lab on a Debian machine with
root (unless LAB=0); elsewhere those tests are skipped, or fail with REQUIRE_ENGINE=1 (.ci/run). With `-m quick` no test
needs an engine.
"""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAB = ROOT / "tests" / "lab" / "lab"


def engine_answers() -> bool:
    """Tell whether a Docker engine with BuildKit's client answers."""
    if not shutil.which("docker"):
        return False
    commands = (["docker", "info"], ["docker", "buildx", "version"])
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


def lab_environment() -> dict[str, str]:
    """Bring the lab up and return the variables that make programs use it."""
    print("no Docker engine answers: bringing up the project's own lab (LAB=0 goes without)", flush=True)
    subprocess.run([LAB, "up"], check=True, stdout=subprocess.DEVNULL)
    exports = subprocess.run([LAB, "env"], check=True, capture_output=True, text=True).stdout
    words = [word for line in exports.splitlines() for word in shlex.split(line)[1:]]
    return dict(word.replace("$PATH", os.environ["PATH"]).split("=", 1) for word in words)


def main(options: list[str]) -> int:
    """Run pytest with `options` and return its exit status."""
    env = dict(os.environ)
    quick = ("-m", "quick") in itertools.pairwise(options)
    if not quick and not engine_answers() and env.get("LAB") != "0":
        if os.geteuid() == 0 and Path("/etc/debian_version").exists():
            env |= lab_environment()
        else:
            print(
                "no Docker engine answers, and the lab needs Debian and root: the image tests will skip",
                flush=True,
            )
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    # Most tests wait for something else, so two at a time suit two cores. Each begins with half of the list, so that a
    # file's tests share what they build; who is done first takes from the other.
    command = [sys.executable, "-m", "pytest", "--numprocesses=2", "--dist=worksteal", *options]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
