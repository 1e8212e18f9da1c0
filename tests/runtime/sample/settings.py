"""Settings of both kinds."""

from service_runtime.settings import ServerSettings, WorkerSettings


class Settings(ServerSettings, WorkerSettings):
    """What the service can be told."""
