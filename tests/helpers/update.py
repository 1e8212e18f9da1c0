"""An update as the Makefile of a project runs it, except that the updater's environment is there already."""

import argparse
import json
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.helpers.combinations import ROOT
from tests.helpers.project import Run, run


@cache
def environment() -> tempfile.TemporaryDirectory[str]:
    """Return an environment such as `make update` makes in .tools/updater, with the packages of this process."""
    folder = tempfile.TemporaryDirectory()
    run(sys.executable, "-m", "venv", "--without-pip", folder.name)
    (site,) = Path(folder.name).glob("lib/python*/site-packages")
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copy(ROOT / "requirements/new.txt", Path(folder.name) / "requirements.txt")
    return folder


def provide_environment(project: Path) -> None:
    """Let a project use that environment."""
    (project / ".tools").mkdir(exist_ok=True)
    if not (project / ".tools/updater").exists():
        (project / ".tools/updater").symlink_to(environment().name)


def update(project: Path, *options: str, makefile: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Update `project` as `make update` does, up to the checks; return what failed, or the updater's run.

    `options` are the updater's; `makefile` is that of another project, for one that has none of ours.
    """
    provide_environment(project)
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", default="")
    to = parser.parse_known_args(options)[0].to
    make = ["make", "--no-print-directory", f"--file={makefile or 'Makefile'}", "template", f"TO={to}"]
    done = run(*make, cwd=project, env=env, check=False)
    if done.returncode:
        return done
    directory = json.loads((project / ".cruft.json").read_text(encoding="utf-8")).get("directory") or ""
    return run(sys.executable, f".tools/template/{directory}/updater", *options, cwd=project, env=env, check=False)
