"""Settings from environment variables of the same names in capitals. A service inherits from one of these classes."""

import logging
import os
import sys
from ipaddress import ip_network
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from service_runtime.stop import stop

LEVELS = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Settings(BaseSettings):
    """The settings of every service. Each description says what is allowed; a secret is a SecretStr."""

    model_config = SettingsConfigDict(frozen=True)

    log_level: Annotated[LEVELS, BeforeValidator(str.upper), Field(description=" ".join(get_args(LEVELS)))] = "INFO"
    # For unfinished work at a stop. Less than the 10 s after which `docker stop` kills.
    shutdown_timeout: Annotated[float, Field(ge=2, le=3600, description="seconds, from 2 to 3600")] = 8

    def apply(self) -> None:
        """Apply the log level and the time limit of a stop."""
        logging.getLogger().setLevel(self.log_level)
        stop.timeout = self.shutdown_timeout


def _check_proxies(text: str) -> str:
    """Return `text` if FORWARDED_ALLOW_IPS allows it; uvicorn would take a wrong address for the name of a host."""
    if text not in ("", "*"):
        for proxy in text.split(","):
            ip_network(proxy.strip())
    return text


class ServerSettings(Settings):
    """The further settings of a service with an HTTP API."""

    # All interfaces: a container's loopback interface can't be reached from outside.
    host: Annotated[str, Field(min_length=1, description="an address to listen on")] = "0.0.0.0"  # noqa: S104
    # healthcheck.py has the same default.
    port: Annotated[int, Field(ge=1, le=65535, description="a port number, from 1 to 65535")] = 8000
    # Before a stop begins; /readyz answers 503 at once, so that load balancers that ask rarely learn of it in time.
    shutdown_delay: Annotated[float, Field(ge=0, le=3600, description="seconds, from 0 to 3600")] = 0

    # The proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted: by default none; with *, every client.
    forwarded_allow_ips: Annotated[
        str,
        AfterValidator(_check_proxies),
        Field(description="addresses and networks, as in 10.1.2.3,10.8.0.0/16, or *"),
    ] = ""
    # Where a proxy publishes the service: redirects and the description of the API use it.
    root_path: Annotated[str, Field(pattern="^(/[^/?#]+)*$", description="a path such as /shop, or nothing")] = ""

    def proxies(self) -> list[str]:
        """Return the trusted proxies; IPv4 ones also in the form that IPv6 sockets show (HOST=::)."""
        if self.forwarded_allow_ips in ("", "*"):
            return [self.forwarded_allow_ips]
        networks = [ip_network(proxy.strip()) for proxy in self.forwarded_allow_ips.split(",")]
        mapped = [f"::ffff:{net.network_address}/{96 + net.prefixlen}" for net in networks if net.version == 4]
        return [*map(str, networks), *mapped]

    def apply(self) -> None:
        """Apply the delay of a stop as well."""
        super().apply()
        stop.delay = self.shutdown_delay


class WorkerSettings(Settings):
    """The further settings of a worker."""

    # Between two jobs.
    interval: Annotated[float, Field(ge=0, le=86400, description="seconds, from 0 to 86400")] = 10
    # Without a heartbeat, until the health check fails.
    heartbeat_max_age: Annotated[float, Field(ge=1, le=86400, description="seconds, from 1 to 86400")] = 60


Kind = TypeVar("Kind", bound=Settings)


def load(kind: type[Kind]) -> Kind:
    """Return the settings in the environment.

    A wrong one ends the process with exit status 2 and one line on stderr: the variable, its value (unless it is a
    secret), and what is allowed.
    """
    try:
        return kind()
    except ValidationError as error:
        reasons = "; ".join(_explain(kind, detail) for detail in error.errors())
    except SettingsError as error:  # a list or dictionary that is not JSON
        reasons = str(error)
    print("wrong settings:", reasons, file=sys.stderr)
    sys.exit(2)


def _explain(kind: type[Settings], detail: ErrorDetails) -> str:
    """Return a description of what is wrong."""
    if not detail["loc"]:  # the settings as a whole
        return detail["msg"]
    field = str(detail["loc"][0])
    name, allowed = field.upper(), kind.model_fields[field]
    given = {variable.upper(): repr(value) for variable, value in os.environ.items()}
    if name in given and "Secret" in str(allowed.annotation):
        given[name] = "wrong"
    return f"{name} is {given.get(name, 'missing')}, allowed: {allowed.description or allowed.annotation}"
