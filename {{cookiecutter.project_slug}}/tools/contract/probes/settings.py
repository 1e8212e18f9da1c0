"""Print which settings of PACKAGE are secrets, and which have neither default nor value: `settings.py PACKAGE`."""

import importlib
import json
import sys

from pydantic import ValidationError

settings = importlib.import_module(f"{sys.argv[1]}.settings").Settings
fields = settings.model_fields
missing = []
try:
    settings()
except ValidationError as error:
    missing = [str(detail["loc"][0]).upper() for detail in error.errors() if detail["type"] == "missing"]
secrets = [name.upper() for name, field in fields.items() if "Secret" in str(field.annotation)]
print(json.dumps({"secrets": secrets, "missing": missing}))
