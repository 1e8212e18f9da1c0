"""The HTTP API: what is to be seen in a picture."""

import io

import cv2
import numpy
from cv2.typing import MatLike
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from matplotlib.figure import Figure

from service_runtime.probes import probes

from .settings import Settings


def decode(data: bytes) -> MatLike:
    """Return the grey picture that `data` holds. Answers 422 when that is none."""
    picture = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise HTTPException(422, "no picture")
    return picture


def find_edges(data: bytes) -> bytes:
    """Return a PNG of the edges in a picture."""
    return cv2.imencode(".png", cv2.Canny(decode(data), 100, 200))[1].tobytes()


def draw_histogram(data: bytes) -> bytes:
    """Return a PNG with a chart of the brightness in a picture."""
    figure = Figure()
    figure.add_subplot(title="brightness").hist(decode(data).ravel(), bins=16)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()
    app.include_router(probes())
    app.state.settings = settings

    @app.post("/edges")
    async def edges(request: Request) -> Response:
        """Return the edges in a picture."""
        return Response(await run_in_threadpool(find_edges, await request.body()), media_type="image/png")

    @app.post("/histogram")
    async def histogram(request: Request) -> Response:
        """Return a chart of the brightness in a picture."""
        return Response(await run_in_threadpool(draw_histogram, await request.body()), media_type="image/png")

    return app
