"""Settings from environment variables of the same names in capitals. A service inherits from one of these classes."""

import logging
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_runtime.environment import load as load
from service_runtime.stop import stop

LEVELS = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Settings(BaseSettings):
    """The settings of every service. Each description says what is allowed; a secret is a SecretStr."""

    model_config = SettingsConfigDict(frozen=True)

    log_level: Annotated[LEVELS, BeforeValidator(str.upper), Field(description=" ".join(get_args(LEVELS)))] = "INFO"
    # Less than the 10 s after which `docker stop` kills.
    shutdown_timeout: Annotated[float, Field(ge=2, le=3600, description="seconds for a stop, from 2 to 3600")] = 8

    def apply(self) -> None:
        """Apply the log level and the time limit of a stop."""
        logging.getLogger().setLevel(self.log_level)
        stop.timeout = self.shutdown_timeout


class ServerSettings(Settings):
    """The further settings of a service with an HTTP API."""

    # All interfaces: a container's loopback interface can't be reached from outside.
    host: Annotated[str, Field(min_length=1, description="the address to listen on")] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Field(ge=1, le=65535, description="the port to listen on, from 1 to 65535")] = 8000
    # Load balancers that ask rarely learn of the stop in time: /readyz answers 503 at once.
    shutdown_delay: Annotated[float, Field(ge=0, le=3600, description="seconds before a stop begins, up to 3600")] = 0
    # Longer than the 60 s of common load balancers, so that they close an idle connection first.
    keep_alive: Annotated[int, Field(ge=1, le=7200, description="seconds for an idle connection, from 1 to 7200")] = 75
    forwarded_allow_ips: Annotated[str, Field(description="trusted proxies: 10.1.2.3,10.8.0.0/16, or * for all")] = ""
    root_path: Annotated[str, Field(pattern="^(/[^/?#]+)*$", description="the path at a proxy, such as /shop")] = ""
    max_body: Annotated[int, Field(ge=0, description="bytes of a request's body; a longer one gets 413")] = 10 * 2**20
    max_concurrency: Annotated[int, Field(ge=1, description="requests at the same time; one more gets 503")] = 500
    ready_timeout: Annotated[float, Field(gt=0, le=60, description="seconds for the checks of /readyz, up to 60")] = 1


class WorkerSettings(Settings):
    """The further settings of a worker."""

    interval: Annotated[float, Field(ge=0, le=86400, description="seconds between two jobs, up to 86400")] = 10
    heartbeat_max_age: Annotated[float, Field(ge=1, le=86400, description="seconds for a silent job, to 86400")] = 60
