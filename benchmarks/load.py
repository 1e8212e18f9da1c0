"""Load the default service in its container, and print what it took: `python benchmarks/load.py [SECONDS]`.

It renders a project with the default answers, builds its image with `make image` (BUILD_FLAGS and DEBIAN_SUITE as for
that) and, with wrk on this machine (Debian: apt-get install wrk) and 64 connections that stay open,

    loads it for SECONDS (60): requests per second, latency, failed requests, memory every tenth of the time;
    stops it ten times under the same load (`docker stop`), while the clients of the project's own contract count what
    was answered and what was lost.

Prints JSON. Exit status 0 when no request failed, none was lost and the memory stayed flat, else 1; 2 without wrk.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}/tools"))
from contract.image import Image  # noqa: E402

IMAGE = "service-template/load"
STOPS = 10
# The contract's limits would be what is measured.
UNLIMITED = ("--cpus=0", "--memory=0", "--pids-limit=-1")
WRK = ("wrk", "--threads", "1", "--connections", "64", "--timeout", "10s", "--latency")
FLAT = 1.05  # memory at the end against that after a tenth of the time


def docker(*arguments: str) -> str:
    """Return what `docker` prints; raises CalledProcessError when it fails."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def build(folder: str) -> Image:
    """Render a project and build its image, and stay in its folder; return the image as the contract sees it."""
    project = cookiecutter(str(ROOT), no_input=True, default_config=True, output_dir=folder)
    subprocess.run(["make", "image", f"IMAGE={IMAGE}"], cwd=project, check=True, capture_output=True)
    os.chdir(project)
    return Image(IMAGE)


def memory(container: str) -> float:
    """Return the memory of a container in MB (10^6 bytes), the page cache left out."""
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container).split("/")[0].strip()
    number, unit = re.fullmatch(r"([\d.]+)([KMG]i?B|B)", used).groups()  # type: ignore[union-attr]
    return round(float(number) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit] / 1e6, 1)


def address(container: str) -> str:
    """Return where a container's service answers, without a proxy in between."""
    return docker("inspect", "--format", "http://{{.NetworkSettings.IPAddress}}:8000/greeting", container)


def failed(report: str) -> dict[str, int]:
    """Return how many requests failed by a report of wrk, by kind: no answer (within 10 s), or one that is not 2xx."""
    kinds = re.findall(r"(connect|read|write|timeout|Non-2xx or 3xx responses:) (\d+)", report)
    return {kind: int(number) for kind, number in kinds if int(number)}


def sustained(image: Image, seconds: int) -> dict[str, Any]:
    """Load the service for some seconds; return the figures."""
    with image.running(*UNLIMITED) as container:
        command = [*WRK, "--duration", f"{seconds}s", address(container.id)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
            used: list[float] = []
            begin = time.monotonic()
            while len(used) < 9:
                time.sleep(max(0, begin + (len(used) + 1) * seconds / 10 - time.monotonic()))
                used.append(memory(container.id))
            report = wrk.communicate()[0]
    requests = re.search(r"(\d+) requests in", report)
    rate = re.search(r"Requests/sec: +([\d.]+)", report)
    if not requests or not rate:
        sys.exit(f"load: wrk failed\n{report}")
    return {
        "requests": int(requests[1]),
        "requests per second": round(float(rate[1])),
        "latency": dict(re.findall(r"^ +(50|99)% +(\S+) *$", report, re.MULTILINE)),
        "failed": failed(report),
        "memory": used,
    }


def stopped(image: Image) -> dict[str, Any]:
    """Stop the service under the load of wrk; return what the contract's own clients counted beside it.

    wrk takes a connection that is refused after the end for a failed request, so it can't count here.
    """
    with image.running(*UNLIMITED) as container, container.client("load") as client:
        command = [*WRK, "--duration", "4s", address(container.id)]
        wrk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        begin = time.monotonic()
        docker("stop", container.id)
        seconds = round(time.monotonic() - begin, 2)
        code = int(docker("inspect", "--format", "{{.State.ExitCode}}", container.id))
        counts = json.loads(client.communicate(timeout=60)[0])
        wrk.communicate()
    return {"status": code, "seconds": seconds, **counts}


def main(seconds: int) -> int:
    """Measure, print, and judge."""
    if not shutil.which("wrk"):
        print("load: wrk is missing (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        image = build(folder)
        figures: dict[str, Any] = {"cores": os.cpu_count(), "seconds": seconds, "load": sustained(image, seconds)}
        print(json.dumps(figures["load"]), file=sys.stderr, flush=True)
        figures["stops"] = [stopped(image) for _ in range(STOPS)]
        os.chdir(ROOT)
    print(json.dumps(figures, indent=2))
    used = figures["load"]["memory"]
    flat = used[-1] <= FLAT * used[0]
    lost = [stop for stop in figures["stops"] if stop["lost"] or stop["status"]]
    return 1 if figures["load"]["failed"] or lost or not flat else 0


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["60"])[0])))
