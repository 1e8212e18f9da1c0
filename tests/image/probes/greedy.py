"""Run a service, whose package is named, that takes 400 MB once there is a file /tmp/now."""

import runpy
import sys
import threading
import time
from pathlib import Path


def take() -> None:
    while not Path("/tmp/now").exists():
        time.sleep(0.05)
    print(len(b"x" * 400_000_000))


threading.Thread(target=take, daemon=True).start()
runpy.run_module(sys.argv[1], run_name="__main__")
