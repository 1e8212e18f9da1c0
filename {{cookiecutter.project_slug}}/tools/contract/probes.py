"""Programs that image.py runs inside the image, with its own Python: `python -c <this text> NAME ARGUMENT...`.

Large modules are imported where they are used, since the image may have no bytecode for them.
"""

import contextlib
import importlib.util
import json
import os
import platform
import re
import runpy
import socket
import sys
import time
from pathlib import Path


def facts() -> None:
    """Print the sources whose bytecode is stale, and the values for the markers in poetry.lock."""
    stale = []
    for path in (path for folder in (Path("/app"), Path(os.__file__).parent) for path in folder.rglob("*.pyc")):
        try:
            source = Path(importlib.util.source_from_cache(str(path)))
            # A .pyc begins with a magic number and flags, 4 bytes each; then the hash of the source.
            head = (1).to_bytes(4, "little") + importlib.util.source_hash(source.read_bytes())
            if path.read_bytes()[4:16] != head:
                stale.append(str(source))
        except OSError as error:
            stale.append(str(error))
    version = platform.python_version()
    markers = {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_version": ".".join(version.split(".")[:2]),
        "python_full_version": version,
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
        "extra": "",
    }
    print(json.dumps({"stale": stale, "markers": markers}))


def settings(package: str) -> None:
    """Print which settings of `package` are secrets, and which have neither default nor value."""
    from pydantic import ValidationError

    kind = importlib.import_module(f"{package}.settings").Settings
    missing = []
    try:
        kind()
    except ValidationError as error:
        missing = [str(detail["loc"][0]).upper() for detail in error.errors() if detail["type"] == "missing"]
    secrets = [name.upper() for name, field in kind.model_fields.items() if "Secret" in str(field.annotation)]
    print(json.dumps({"secrets": secrets, "missing": missing}))


def get(port: str, *paths: str) -> None:
    """Print the status of a GET for each path."""
    import http.client

    answers = []
    for path in paths:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
        connection.request("GET", path)
        answers.append(connection.getresponse().status)
    print(json.dumps(answers))


def routes(port: str) -> None:
    """Request each GET route in the service's OpenAPI document once, whatever it answers.

    Of an answer without a length, which may never end, only the head is read.
    """
    import http.client

    def body(path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read() if response.length else b""
        return b""

    with contextlib.suppress(ValueError):
        for path, operations in json.loads(body("/openapi.json"))["paths"].items():
            if "get" in operations:
                body(re.sub(r"\{[^}]*\}", "1", path))


def hold(seconds: str) -> None:
    """Hold a half-sent request open until the service ends, for `seconds` at most."""
    connection = socket.create_connection(("127.0.0.1", 8000), timeout=float(seconds))
    connection.sendall(b"GET /healthz HTTP/1.1\r\n")
    print("started", flush=True)
    with contextlib.suppress(OSError):
        connection.recv(1)


def load(seconds: str) -> None:
    """Load the service until nobody listens any more, for `seconds` at most; print what was answered and what was lost.

    There are three kinds of clients: one keeps its connection, one opens a new one each time, one takes 0.4 s to send a
    request. A request is lost if a part of it was sent and no answer came. "started" is printed after 300 answers.
    """
    import asyncio

    count = {"answered": 0, "lost": 0, "not ready": 0}
    end = time.monotonic() + float(seconds)

    async def client(kind: str, path: str) -> None:
        reader = writer = None
        while time.monotonic() < end:
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", 8000)
            except OSError:
                return
            wish = "close" if kind == "new" else "keep-alive"
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode())
                if kind == "slow":
                    await asyncio.sleep(0.4)
                writer.write(f"Connection: {wish}\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
                count["answered"] += 1
                count["not ready"] += path == "/readyz" and " 503 " in head
                is_over = "connection: close" in head
            except (OSError, asyncio.IncompleteReadError):
                count["lost"] += 1
                is_over = True
            if count["answered"] == 300:
                print("started", flush=True)
            if is_over:
                writer.close()
                reader = writer = None
            await asyncio.sleep(0.005)

    async def clients() -> None:
        kinds = ["keep"] * 8 + ["new"] * 4 + ["slow"] * 4
        await asyncio.gather(*(client(kind, ("/healthz", "/readyz")[i % 2]) for i, kind in enumerate(kinds)))

    asyncio.run(clients())
    print(json.dumps(count))


def job(package: str, kind: str) -> None:
    """Run the worker `package` with a job that takes until a stop is requested.

    It then gives the rest back if `kind` is "asks", or takes 3 s more if it is "stubborn".
    """
    from service_runtime import loop

    def long_job(go_on: loop.GoOn) -> None:
        while go_on():
            time.sleep(0.05)
        if kind == "asks":
            print('{"message": "given back"}', flush=True)
            return
        for _ in range(60):
            go_on()
            time.sleep(0.05)
        print('{"message": "finished"}', flush=True)

    run = loop.run
    loop.run = lambda job, settings: run(long_job, settings)  # noqa: ARG005 - in place of the service's own job
    runpy.run_module(package, run_name="__main__")


def uncaught() -> None:
    """Configure logs as the service does, and end with an error."""
    from service_runtime import logs

    logs.configure()
    raise RuntimeError("on purpose")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
