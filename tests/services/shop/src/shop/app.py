"""The HTTP API."""

import logging

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse

from service_runtime.probes import probes

from .settings import Settings

logger = logging.getLogger(__name__)
basket = APIRouter(prefix="/basket")


@basket.get("/")
async def show(request: Request) -> dict[str, str]:
    """Return who asks for the basket, and where it lies."""
    logger.info("basket shown")
    return {"client": request.client.host if request.client else "", "url": str(request.url_for("show"))}


@basket.post("/")
async def buy(request: Request) -> RedirectResponse:
    """Empty the basket, and lead back to it."""
    return RedirectResponse(request.url_for("show"), status_code=303)


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()
    app.include_router(probes())
    app.include_router(basket)
    app.state.settings = settings
    return app
