"""The settings of the service: environment variables of the same names in capitals."""

from typing import Annotated

from pydantic import Field

from service_runtime.settings import ServerSettings


class Settings(ServerSettings):
    """What the service can be told."""

    prices_url: Annotated[str, Field(description="where prices are known: http://host:port")] = "http://127.0.0.1:8000"
