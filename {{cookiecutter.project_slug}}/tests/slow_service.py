"""The service, with endpoints that are slow or broken beside its own: for test_server.py."""

import asyncio
import runpy
import time
from unittest import mock

from fastapi import FastAPI

from {{ cookiecutter.package_name }} import app

create_app = app.create_app


def create_slow_app() -> FastAPI:
    slow = create_app()

    @slow.get("/sleep/{seconds}")
    async def sleep(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    @slow.get("/hang/{seconds}")
    def hang(seconds: float) -> str:
        time.sleep(seconds)
        return "hung"

    @slow.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    return slow


if __name__ == "__main__":
    with mock.patch.object(app, "create_app", create_slow_app):
        runpy.run_module("{{ cookiecutter.package_name }}", run_name="__main__")
