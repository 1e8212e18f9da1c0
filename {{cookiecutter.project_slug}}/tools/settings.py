"""Print the settings of a package in the form of an `.env` file: `python tools/settings.py PACKAGE`.

Each has its description, type and default; one that is required has no `#` before its name.
"""

import importlib
import re
import sys

from pydantic_core import to_json
from pydantic_settings import BaseSettings

from service_runtime.environment import Variable, variables


def describe(kind: type[BaseSettings]) -> str:
    """Return the text of the file for a class of settings; the values of secrets are left out."""
    nested = kind.model_config.get("env_nested_delimiter")
    return "\n".join(_entry(one) for one in variables(kind) if ("." not in one.name if not nested else not one.model))


def _entry(one: Variable) -> str:
    field, is_required = one.field, one.field.is_required()
    default = field.get_default(call_default_factory=True, validated_data={})
    value = default if isinstance(default, str) else "" if default is None or is_required else to_json(default).decode()
    value = re.sub("//[^/@]*@", "//...@", value)
    kind = "choice" if one.kind.startswith("Literal") else one.kind
    about = f"{field.description or one.name.lower()} ({kind}{', required' if is_required else ''})"
    return f"# {about}\n{'' if is_required else '# '}{one.name}={value}\n"


if __name__ == "__main__":
    print(describe(importlib.import_module(f"{sys.argv[1]}.settings").Settings), end="")
