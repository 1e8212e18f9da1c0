"""The service, with endpoints that are slow or broken beside its own: for test_server.py."""

import asyncio
import runpy
import time

from {{ cookiecutter.package_name }}.app import app


@app.get("/sleep/{seconds}")
async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.get("/hang/{seconds}")
def hang(seconds: float) -> None:
    time.sleep(seconds)


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("broken")


runpy.run_module("{{ cookiecutter.package_name }}", run_name="__main__")
