"""Make the project's layer of the image: its wheel, installed, with its bytecode; and what lies beside src/.

    python -m image.app CONTEXT LAYER

CONTEXT has what .dockerignore lets into the build. LAYER, a folder to make, is copied to the root of the image. The
project is built as a wheel by poetry-core and installed by uv into /app/.venv, as everywhere: packages, includes and
[project.scripts] do what Poetry's manual says. Files and folders beside src/ that are not of the build go to /app.

Exit status 1, with the reason, when the wheel can't be built, a module can't be compiled, a link leads out of the
context, or a place is taken in the image.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from poetry.core.masonry import api

from image.bytecode import Sources, compile_all
from image.layer import STAMP, VENV, settle

# What the build itself needs of the context: it stays out of /app.
OF_THE_BUILD = {"docker", "tools", "src", "pyproject.toml", "poetry.lock", "README.md", "LICENSE"}


def check_links(context: Path) -> None:
    """End with 1 if a link in the context leads out of it, or to a file that .dockerignore keeps out."""
    links = [path for path in sorted(context.rglob("*")) if path.is_symlink()]
    broken = [path for path in links if not path.exists() or not path.resolve().is_relative_to(context)]
    if broken:
        names = ", ".join(f"{path.relative_to(context)} -> {path.readlink()}" for path in broken)
        sys.exit(
            f"links that lead out of the build context: {names}. Copy what they lead to to their place, publish it as a"
            " package, or let it in (.dockerignore) if it lies in the project"
        )


def wheel(folder: Path) -> Path:
    """Build the project in the working folder as a wheel in `folder`; return its path."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    backend = project.get("build-system", {}).get("build-backend")
    if backend != "poetry.core.masonry.api":
        sys.exit(f"pyproject.toml: build-system.build-backend is {backend!r}; allowed: 'poetry.core.masonry.api'")
    os.environ["SOURCE_DATE_EPOCH"] = str(STAMP)
    folder.mkdir()
    try:
        return folder / api.build_wheel(str(folder))
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"pyproject.toml: the project can't be built: {error}")


def copy_beside(context: Path, app: Path) -> None:
    """Copy what lies beside src/ and is not of the build to `app`, the image's /app."""
    for path in sorted(context.iterdir()):
        if path.name == VENV.name:
            sys.exit(f".dockerignore lets {path.name} into the image, which has its own in that place: rename it")
        if path.name not in OF_THE_BUILD and path.is_dir():
            shutil.copytree(path, app / path.name, symlinks=True)
        elif path.name not in OF_THE_BUILD:
            shutil.copy2(path, app / path.name)


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    context, layer = (Path(argument).resolve() for argument in arguments)
    check_links(context)
    target = Path(f"{layer}{VENV}")
    os.chdir(context)
    command = ["uv", "pip", "install", "--quiet", "--no-cache", "--offline", "--no-deps", "--link-mode", "copy"]
    command += ["--python", str(VENV / "bin/python"), "--prefix", str(target), str(wheel(layer.with_name("wheel")))]
    # No notes of the installer: they hold the time.
    if status := subprocess.run(command, env={**os.environ, "UV_NO_INSTALLER_METADATA": "1"}, check=False).returncode:  # noqa: S603
        sys.exit(status)
    (target / ".lock").unlink(missing_ok=True)
    copy_beside(context, target.parent)
    modules = [(str(path), f"/{path.relative_to(layer)}") for path in layer.rglob("*.py")]
    compile_all([Sources(modules)], strict=True)
    settle(layer)


if __name__ == "__main__":
    main(sys.argv[1:])
