{%- from "services.jinja" import service with context -%}
"""The settings of the service: environment variables of the same names in capitals."""

from service_runtime.settings import {{ service.settings }}


class Settings({{ service.settings }}):
    """What the service can be told. Give each setting a type; without a default it is required. For example:

    database_url: Annotated[SecretStr, Field(description="postgresql://user:password@host/name")]
    """
