"""The settings of the service: environment variables of the same names in capitals."""

from typing import Annotated

from pydantic import Field

from service_runtime.settings import ServerSettings


class Settings(ServerSettings):
    """What the service can be told."""

    notice: Annotated[str, Field(description="a text file")] = "share/notice.txt"
