"""The settings of the service: environment variables of the same names in capitals."""

from typing import Annotated

from pydantic import Field

from service_runtime.settings import ServerSettings


class Settings(ServerSettings):
    """What the service can be told."""

    # As much as /tmp has room for: an upload lies there while it is read.
    max_body: Annotated[int, Field(ge=0, description="bytes of an upload; a longer one gets 413")] = 110_000_000
    notice: Annotated[str, Field(description="a text file")] = "share/notice.txt"
