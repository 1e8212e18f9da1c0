"""Settings, from environment variables of the same names in capitals. A service inherits from one of these classes."""

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
    """What every service can be told. Each description says what is allowed; a secret is a SecretStr."""

    model_config = SettingsConfigDict(frozen=True)

    log_level: Annotated[LEVELS, BeforeValidator(str.upper), Field(description=" ".join(get_args(LEVELS)))] = "INFO"
    # For what is in hand when a stop comes. Below the 10 s after which `docker stop` kills.
    shutdown_timeout: Annotated[float, Field(ge=2, le=3600, description="seconds, from 2 to 3600")] = 8

    def apply(self) -> None:
        """Let the log level and the time limit of a stop take effect."""
        logging.getLogger().setLevel(self.log_level)
        stop.timeout = self.shutdown_timeout


def _check_proxies(text: str) -> str:
    """Return `text` if it is what FORWARDED_ALLOW_IPS allows; uvicorn would take what is wrong for another host."""
    if text not in ("", "*"):
        for proxy in text.split(","):
            ip_network(proxy.strip())
    return text


class ServerSettings(Settings):
    """What a service with an HTTP API can be told as well."""

    # All interfaces: a container's loopback interface can't be reached from outside.
    host: Annotated[str, Field(min_length=1, description="an address to listen on")] = "0.0.0.0"  # noqa: S104
    # healthcheck.py has the same default.
    port: Annotated[int, Field(ge=1, le=65535, description="a port number, from 1 to 65535")] = 8000
    # Before a stop begins: /readyz says so at once, and a load balancer that only asks now and then sees it in time.
    shutdown_delay: Annotated[float, Field(ge=0, le=3600, description="seconds, from 0 to 3600")] = 0

    # The proxies that are believed what client and scheme a request has: X-Forwarded-For, X-Forwarded-Proto. By default
    # none; with *, whoever can connect.
    forwarded_allow_ips: Annotated[
        str,
        AfterValidator(_check_proxies),
        Field(description="addresses and networks, as in 10.1.2.3,10.8.0.0/16, or *"),
    ] = ""
    # Where a proxy publishes the service: redirects and the description of the API lead there.
    root_path: Annotated[str, Field(pattern="^(/[^/?#]+)*$", description="a path such as /shop, or nothing")] = ""

    def proxies(self) -> list[str]:
        """Return the proxies to believe; IPv4 ones also as IPv6 sockets show them (HOST=::)."""
        if self.forwarded_allow_ips in ("", "*"):
            return [self.forwarded_allow_ips]
        networks = [ip_network(proxy.strip()) for proxy in self.forwarded_allow_ips.split(",")]
        mapped = [f"::ffff:{net.network_address}/{96 + net.prefixlen}" for net in networks if net.version == 4]
        return [*map(str, networks), *mapped]

    def apply(self) -> None:
        """Let the delay of a stop take effect, too."""
        super().apply()
        stop.delay = self.shutdown_delay


class WorkerSettings(Settings):
    """What a worker can be told as well."""

    # Between two jobs.
    interval: Annotated[float, Field(ge=0, le=86400, description="seconds, from 0 to 86400")] = 10
    # Without a sign of life, until the health check fails.
    heartbeat_max_age: Annotated[float, Field(ge=1, le=86400, description="seconds, from 1 to 86400")] = 60


Kind = TypeVar("Kind", bound=Settings)


def load(kind: type[Kind]) -> Kind:
    """Return the settings that the environment gives.

    Wrong ones end the process with exit status 2 and one line on stderr: the variable, what was given (but never a
    secret), what is allowed.
    """
    try:
        return kind()
    except ValidationError as error:
        reasons = "; ".join(_explain(kind, detail) for detail in error.errors())
    except SettingsError as error:  # a list or dictionary that is no JSON
        reasons = str(error)
    print("wrong settings:", reasons, file=sys.stderr)
    sys.exit(2)


def _explain(kind: type[Settings], detail: ErrorDetails) -> str:
    """Return what is wrong, for a person to read."""
    if not detail["loc"]:  # the settings as a whole
        return detail["msg"]
    field = str(detail["loc"][0])
    name, allowed = field.upper(), kind.model_fields[field]
    given = {variable.upper(): repr(value) for variable, value in os.environ.items()}
    if name in given and "Secret" in str(allowed.annotation):
        given[name] = "wrong"
    return f"{name} is {given.get(name, 'missing')}, allowed: {allowed.description or allowed.annotation}"
