"""The HTTP API."""

from fastapi import FastAPI, Response, status

from .stop import stop


def create_app() -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()

    @app.get("/healthz")
    async def alive() -> str:
        """Tell that the process is alive."""
        return "alive"

    @app.get("/readyz")
    async def ready(response: Response) -> str:
        """Tell whether the service can take requests: no (503) once a stop is requested. Add your needs."""
        if stop.requested:
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
            return "stopping"
        return "ready"

    @app.get("/greeting")
    async def greeting(name: str = "World") -> dict[str, str]:
        """Greet: an example to replace."""
        return {"message": f"Hello, {name}!"}

    return app


# Made on import, so that all it takes is imported then, and compiled when the image is built.
app = create_app()
