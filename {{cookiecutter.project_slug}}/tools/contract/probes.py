"""Programs that image.py runs inside the image, with its own Python: `python -c <this text> NAME ARGUMENT...`.

Large modules are imported where they are used, since the image may have no bytecode for them.
"""

import contextlib
import importlib.util
import json
import os
import platform
import runpy
import socket
import sys
import time
from pathlib import Path


def facts() -> None:
    """Print the sources without true bytecode, and what markers in poetry.lock ask."""
    wrong = []
    app, library = Path("/app"), Path(os.__file__).parent
    for path in filter(Path.is_file, [*app.rglob("*.py"), *library.rglob("*.py")]):
        source, cached = path.read_bytes(), Path(importlib.util.cache_from_source(str(path)))
        # A .pyc begins with a magic number and flags, 4 bytes each; then the hash of the source.
        if cached.exists() and cached.read_bytes()[4:16] == b"\1\0\0\0" + importlib.util.source_hash(source):
            continue
        with contextlib.suppress(SyntaxError, ValueError):  # a template, or code for another Python
            # Of the standard library, what no service imports has none.
            if cached.exists() or app in path.parents or cached.parent.exists():
                compile(source, path, "exec")
                wrong.append(str(path))
    markers = {"python_full_version": platform.python_version(), "platform_machine": platform.machine()}
    print(json.dumps({"wrong": wrong, "markers": markers}))


def get(port: str, *paths: str) -> None:
    """Print the status of a GET for each path."""
    import http.client

    answers = []
    for path in paths:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
        connection.request("GET", path)
        answers.append(connection.getresponse().status)
    print(json.dumps(answers))


def hold(seconds: str) -> None:
    """Hold a half-sent request open until the service ends, for `seconds` at most."""
    connection = socket.create_connection(("127.0.0.1", 8000), timeout=float(seconds))
    connection.sendall(b"GET /healthz HTTP/1.1\r\n")
    print("started", flush=True)
    with contextlib.suppress(OSError):
        connection.recv(1)


def load(seconds: str) -> None:
    """Load the service until nobody listens any more, for `seconds` at most; print what was answered and what was lost.

    Some clients keep their connection, some open new ones, some take 0.4 s to send a request. A request is lost if a
    part of it was sent and no answer came. A new connection that is reset at once counts as such: the kernel may have
    taken it in the moment in which the service closed its port. "started" is printed after 300 answers.
    """
    import asyncio

    count = {"answered": 0, "lost": 0, "reset": 0, "not ready": 0}
    end = time.monotonic() + float(seconds)

    async def client(kind: str, path: str) -> None:
        streams = None
        while time.monotonic() < end:
            is_new = streams is None and kind != "slow"
            try:
                reader, writer = streams = streams or await asyncio.open_connection("127.0.0.1", 8000)
            except OSError:
                return
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode())
                await asyncio.sleep(0.4 if kind == "slow" else 0)
                writer.write(f"Connection: {'close' if kind == 'new' else 'keep-alive'}\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
                count["answered"] += 1
                count["not ready"] += path == "/readyz" and " 503 " in head
            except (OSError, asyncio.IncompleteReadError):
                count["reset" if is_new else "lost"] += 1
                head = "connection: close"
            if count["answered"] == 300:
                print("started", flush=True)
            if "connection: close" in head:
                writer.close()
                streams = None
            await asyncio.sleep(0.005)

    async def clients() -> None:
        kinds = ["keep"] * 8 + ["new"] * 4 + ["slow"] * 4
        await asyncio.gather(*(client(kind, ("/healthz", "/readyz")[i % 2]) for i, kind in enumerate(kinds)))

    asyncio.run(clients())
    print(json.dumps(count))


def job(package: str, kind: str) -> None:
    """Run the worker `package` with a job that ends when a stop is requested, or 3 s later if `kind` is "stubborn"."""
    from service_runtime import loop

    def long_job(go_on: loop.GoOn) -> None:
        while go_on():
            time.sleep(0.05)
        for _ in range(60 if kind == "stubborn" else 0):
            go_on()
            time.sleep(0.05)
        print('{"message": "the job has ended"}', flush=True)

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
