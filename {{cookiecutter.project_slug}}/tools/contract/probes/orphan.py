"""Leave a process without a parent, let it end, and print the number of every zombie."""

import os
import time
from pathlib import Path

if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.2)
    os._exit(0)
os.wait()
time.sleep(0.7)
for path in Path("/proc").glob("[0-9]*/stat"):
    state = path.read_text().rpartition(")")[2].split()
    if state[0] == "Z":
        print(path.parent.name)
