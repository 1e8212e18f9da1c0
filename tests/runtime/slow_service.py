"""A service with endpoints that are slow or broken: for test_server.py."""

import asyncio
import logging
import os
import time

from service_runtime import prepare

prepare()

from fastapi import FastAPI, Request, Response

from service_runtime import middleware, server
from service_runtime.probes import probes
from service_runtime.settings import ServerSettings, load

app = FastAPI()
app.include_router(probes())


@app.get("/greeting")
async def greeting() -> str:
    return "hello"


@app.get("/request")
async def describe(request: Request) -> dict[str, str]:
    logging.info("asked")
    return {"client": request.client.host if request.client else "", "url": str(request.url)}


@app.get("/own-id")
async def own_id(response: Response) -> None:
    response.headers["X-Request-ID"] = "own"


@app.post("/upload")
async def upload(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@app.get("/sleep/{seconds}")
async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.get("/hang/{seconds}")
def hang(seconds: float) -> None:
    time.sleep(seconds)


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("broken")


middleware.ROOM = int(os.environ.get("TEST_ROOM", middleware.ROOM))
server.LINGER = float(os.environ.get("TEST_LINGER", server.LINGER))
server.serve(app, load(ServerSettings))
