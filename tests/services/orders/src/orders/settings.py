"""The settings of the service: environment variables of the same names in capitals."""

from typing import Annotated

from pydantic import Field, SecretStr

from service_runtime.settings import ServerSettings


class Settings(ServerSettings):
    """What the service can be told."""

    database_url: Annotated[SecretStr, Field(description="postgresql+psycopg://user:password@host/name")]
    # Seconds that the warehouse takes to confirm an order.
    confirmation: Annotated[float, Field(ge=0, le=60, description="seconds, from 0 to 60")] = 0
