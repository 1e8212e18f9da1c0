"""Print which bytecode is not that of its source, and the values that markers in poetry.lock ask for."""

import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

stale = []
for path in Path(sys.pycache_prefix or "/nowhere").rglob("*.pyc"):
    try:
        source = Path(importlib.util.source_from_cache(str(path)))
        # A .pyc begins with a magic number and flags, 4 bytes each; then the hash of the source.
        if importlib.util.source_hash(source.read_bytes()) != path.read_bytes()[8:16]:
            stale.append(str(source))
    except OSError as error:
        stale.append(str(error))

version = platform.python_version()
markers = {
    "os_name": os.name,
    "sys_platform": sys.platform,
    "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(),
    "platform_release": platform.release(),
    "platform_system": platform.system(),
    "platform_version": platform.version(),
    "python_version": ".".join(version.split(".")[:2]),
    "python_full_version": version,
    "implementation_name": sys.implementation.name,
    "implementation_version": version,
    "extra": "",
}
print(json.dumps({"stale": stale, "markers": markers}))
