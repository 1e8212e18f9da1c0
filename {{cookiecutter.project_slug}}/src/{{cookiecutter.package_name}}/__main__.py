{%- from "services.jinja" import service with context -%}
"""The entry point: `python -m {{ cookiecutter.package_name }}`."""

from service_runtime import {{ service.run }}

if __name__ == "__main__":
    {{ service.run }}("{{ cookiecutter.package_name }}.{{ service.code.module }}:{{ service.code.function }}")
