"""The HTTP API."""

from fastapi import FastAPI

from service_runtime.probes import probes

from .settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()
    app.include_router(probes())  # /healthz and /readyz; give it a check of what the service needs to be ready
    app.state.settings = settings  # in a route: request.app.state.settings

    @app.get("/greeting")
    async def greeting(name: str = "World") -> dict[str, str]:
        """Greet: an example to replace."""
        return {"message": f"Hello, {name}!"}

    return app
