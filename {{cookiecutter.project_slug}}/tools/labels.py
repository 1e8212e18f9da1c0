"""Print what `make image` gives to the build for the labels: --build-arg SOURCE=... and so on.

SOURCE is the address of the repository for a browser, without user, password or the port of SSH; VERSION is the
project's; REVISION is the commit, with `-dirty` if the files are not those of the commit, CREATED its time. What is not
known is empty: all but VERSION in a folder that git does not track.
"""

import re
import subprocess
import tomllib
from pathlib import Path


def git(*words: str) -> str:
    """Return what git prints, without the blanks around it; "" if it fails, or is not there."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def browsable(origin: str) -> str:
    """Return the address of a repository for a browser; "" for one that is a folder."""
    address = re.sub(r"^git@([^:]*):", r"https://\1/", origin)
    address = re.sub(r"^ssh://(?:[^/]*@)?([^/:]*)[^/]*", r"https://\1", address)
    return re.sub("//[^/]*@", "//", address) if re.match("https?:", address) else ""


def main() -> None:
    """Print the build arguments."""
    tables = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    found = dict.fromkeys(("SOURCE", "VERSION", "REVISION", "CREATED"), "")
    # The version is Poetry's if that of the project is dynamic.
    found["VERSION"] = tables["project"].get("version") or tables.get("tool", {}).get("poetry", {}).get("version", "")
    if git("ls-files", "--error-unmatch", "pyproject.toml"):
        found["SOURCE"] = browsable(git("remote", "get-url", "origin"))
        found["REVISION"] = git("rev-parse", "--verify", "--quiet", "HEAD")
        found["REVISION"] += "-dirty" if git("status", "--porcelain", ".") else ""
        found["CREATED"], _, found["SOURCE_DATE_EPOCH"] = git("log", "-1", "--format=%cI %ct").partition(" ")
    print(*(f"--build-arg {name}={value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
