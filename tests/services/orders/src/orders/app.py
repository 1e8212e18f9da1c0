"""The HTTP API: take orders, and show them."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Body, FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from service_runtime.probes import probes

from .models import Order
from .settings import Settings

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    engine = create_engine(settings.database_url.get_secret_value(), pool_pre_ping=True)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    app = FastAPI(lifespan=lifespan)

    def answers() -> bool:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
        return True

    async def database() -> bool:
        return await run_in_threadpool(answers)

    app.include_router(probes(database))

    def confirm(number: int) -> None:
        time.sleep(settings.confirmation)
        with Session(engine) as session, session.begin():
            session.get_one(Order, number).confirmed = True
        logger.info("confirmed order %d", number)

    @app.post("/orders", status_code=201)
    def take(item: Annotated[str, Body(embed=True)], tasks: BackgroundTasks) -> int:
        """Take an order, and return its number; the confirmation comes later."""
        with Session(engine) as session, session.begin():
            order = Order(item=item)
            session.add(order)
            session.flush()
            number = order.id
        tasks.add_task(confirm, number)
        return number

    @app.get("/orders/{number}")
    def show(number: int) -> dict[str, str | bool]:
        """Return an order."""
        with Session(engine) as session:
            if not (order := session.get(Order, number)):
                raise HTTPException(404)
            return {"item": order.item, "confirmed": order.confirmed}

    return app
