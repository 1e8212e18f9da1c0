"""The HTTP API."""

import json
import logging
from urllib.request import urlopen

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


@basket.get("/price")
def ask(request: Request) -> str:
    """Return what another service says of the basket."""
    with urlopen(f"{request.app.state.settings.prices_url}/prices/basket", timeout=5) as answer:  # noqa: S310
        return str(json.loads(answer.read()))


@basket.post("/")
async def buy(request: Request) -> RedirectResponse:
    """Empty the basket, and lead back to it."""
    return RedirectResponse(request.url_for("show"), status_code=303)


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()
    app.include_router(probes())
    app.include_router(basket)

    @app.get("/prices/{what}")
    async def price(what: str) -> str:
        logger.info("price of a %s", what)
        return "12.50"

    app.state.settings = settings
    return app
