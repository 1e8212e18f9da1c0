"""The settings of the service: environment variables of the same names in capitals."""

from typing import Annotated

from pydantic import Field, SecretStr

from service_runtime.settings import WorkerSettings


class Settings(WorkerSettings):
    """What the service can be told."""

    queue_url: Annotated[SecretStr, Field(description="redis://:password@host:port")]
    queue_worker: Annotated[str, Field(min_length=1, description="a name that no other worker has")] = "worker"
    # Longer than a mail takes: what a worker has taken goes to another one after it.
    queue_patience: Annotated[float, Field(gt=0, description="seconds")] = 300
