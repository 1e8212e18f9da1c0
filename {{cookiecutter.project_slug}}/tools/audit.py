"""Look up known vulnerabilities of the locked packages of the service, with pip-audit: `make audit`.

OSV_URL in the environment names another OSV service than the public one. [tool.image-audit.except] of pyproject.toml
has exceptions: CVE-2026-12345 = { reason = "the service parses no XML", until = 2026-12-31 }

Exit status: 0 nothing found, 1 something found, 2 no answer that can be trusted. The service must also know what is
wrong with an old version of jinja2: if it does not, its silence proves nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path

KNOWN_BAD = ("jinja2", "2.4.1")
ASK = ["-m", "pip_audit", "--strict", "--progress-spinner=off", "--vulnerability-service=osv", "--format=json"]


def main() -> int:
    """Print a line for each vulnerability; return the exit status."""
    excepted = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"].get("image-audit", {}).get("except", {})
    for name, given in excepted.items():
        if not isinstance(given, dict) or not given.get("reason") or type(given.get("until")) is not date:
            print(f'audit: {name} in pyproject.toml needs {{ reason = "why", until = 2026-12-31 }}', file=sys.stderr)
            return 2
    try:
        locked = tomllib.loads(Path("poetry.lock").read_text("utf-8"))["package"]
    except (OSError, ValueError, KeyError) as error:
        print(f"audit: poetry.lock can't be read ({error!r}): run `make lock`", file=sys.stderr)
        return 2
    wanted = {KNOWN_BAD, *((package["name"], package["version"]) for package in locked if "main" in package["groups"])}
    where = [f"--osv-url={url.rstrip('/')}/v1/query"] if (url := os.environ.get("OSV_URL")) else []
    with tempfile.TemporaryDirectory() as folder:
        lines = [f'[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in sorted(wanted)]
        Path(folder, "pylock.toml").write_text('lock-version = "1.0"\n' + "".join(lines), encoding="utf-8")
        command = [sys.executable, *ASK, *where, "--locked", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        found = {(one["name"], one["version"]): one["vulns"] for one in json.loads(done.stdout)["dependencies"]}
    except (ValueError, KeyError):
        found = {}
    if len(found) != len(wanted) or not found.pop(KNOWN_BAD, None):
        print(f"{done.stderr}audit: {url or 'OSV'} gives no answer to trust, nothing is cleared", file=sys.stderr)
        return 2
    ended = [key for key, given in excepted.items() if given["until"] < date.today()]
    count = 0
    for (name, version), one in ((package, one) for package in sorted(found) for one in found[package]):
        ids = sorted({one["id"], *one["aliases"]})
        reasons = [excepted[key]["reason"] for key in ids if key in excepted and key not in ended]
        fix = f"fixed in {', '.join(one['fix_versions']) or 'no version'}: make lock UPGRADE={name}"
        print(f"{'EXCEPTED' if reasons else 'FOUND':9} {name} {version}  {' '.join(ids)}  {(reasons or [fix])[0]}")
        count += not reasons
    print(f"{len(found)} packages, {count} vulnerabilities", *(f"; exception {key} has ended" for key in ended), sep="")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
