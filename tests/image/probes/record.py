"""Print the files in the RECORD of a package (greenlet), and whether all of them are there."""

from importlib.metadata import distribution
from pathlib import Path

package = distribution("greenlet")
# Not `files`, which leaves out those that are not there.
names = [line.split(",")[0] for line in (package.read_text("RECORD") or "").splitlines()]
print(*names, all(Path(str(package.locate_file(name))).exists() for name in names))
