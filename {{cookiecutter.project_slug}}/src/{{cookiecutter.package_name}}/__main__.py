{%- from "services.jinja" import service with context -%}
"""The entry point: `python -m {{ cookiecutter.package_name }}`."""

from service_runtime import prepare

if __name__ == "__main__":
    prepare()  # before the rest is imported: from here on signals are heard and errors are logged

from service_runtime.{{ service.runtime.module }} import {{ service.runtime.function }}
from service_runtime.settings import load
{% for line in ["from ." ~ service.code.module ~ " import " ~ service.code.function, "from .settings import Settings"] | sort %}
{{ line }}
{%- endfor %}

if __name__ == "__main__":
    settings = load(Settings)
    {{ service.runtime.function }}({{ service.code.function }}(settings), settings)
