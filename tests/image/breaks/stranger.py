"""Put another package into an image's environment, complete with its RECORD."""

import base64
import hashlib
import sysconfig
from pathlib import Path

METADATA = b"Metadata-Version: 2.1\nName: stranger\nVersion: 1\n"
folder = Path(sysconfig.get_path("purelib"), "stranger-1.dist-info")
folder.mkdir()
(folder / "METADATA").write_bytes(METADATA)
digest = base64.urlsafe_b64encode(hashlib.sha256(METADATA).digest()).decode().rstrip("=")
(folder / "RECORD").write_text(f"{folder.name}/METADATA,sha256={digest},{len(METADATA)}\n{folder.name}/RECORD,,\n")
