"""Change a file of the project inside an image, its entry in RECORD and its bytecode: `patch.py FILE OLD NEW`.

FILE is a pattern below site-packages. Without OLD, NEW is added at the end. With STALE set, the bytecode stays.
"""

import base64
import hashlib
import os
import py_compile
import sys
import sysconfig
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))
pattern, old, new = sys.argv[1:]
(path,) = SITE.glob(pattern)
text = path.read_text()
if old:
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))
else:
    path.write_text(f"{text}\n{new}\n")
digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
name = str(path.relative_to(SITE))
(record,) = (record for record in SITE.glob("*.dist-info/RECORD") if f"{name}," in record.read_text())
lines = [line.split(",") for line in record.read_text().splitlines()]
for line in lines:
    if line[0] == name:
        line[1:] = [f"sha256={digest}", str(path.stat().st_size)]
record.write_text("".join(",".join(line) + "\n" for line in lines))
if "STALE" not in os.environ:
    py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
