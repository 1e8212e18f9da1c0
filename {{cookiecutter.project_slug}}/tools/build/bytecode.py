"""Compile the sources in a list to bytecode, for one layer of the image; nothing of them is run.

    python -S -m build.bytecode LIST LAYER ROOT ...

A line of LIST is the SHA-256 of a file and its path in the image; the file lies there below a ROOT. LAYER, a folder
that is copied to the root of the image, gets their bytecode, laid out for PYTHONPYCACHEPREFIX=/app/bytecode. It is
marked as never to be checked against the source (PEP 552), since an image does not change; so it depends on the source
alone.

A file that is no Python for this version is passed over: packages have such files, and load them elsewhere.

Exit status 1 when no ROOT has the file of LIST: the step that made it comes out of a cache that is out of date.
"""

import gc
import hashlib
import py_compile
import sys
from collections.abc import Sequence
from pathlib import Path

from build.layer import settle

CACHE = "app/bytecode"


def compile_file(path: str, digest: str, roots: Sequence[Path], cache: Path) -> None:
    """Compile the file at `path` below one of `roots` into the folder `cache`. Ends with 1 if its SHA-256 differs."""
    source = next((file for root in roots if (file := root / path.lstrip("/")).exists()), None)
    if source is None or hashlib.sha256(source.read_bytes()).hexdigest() != digest:
        sys.exit(f"{path} has changed since it was listed: build again with --no-cache")
    target = (cache / path.lstrip("/")).with_suffix(f".{sys.implementation.cache_tag}.pyc")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(source), str(target), path, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError as error:
        print(f"bytecode: {path} is passed over: {error.exc_value}", file=sys.stderr)


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) < 3:
        sys.exit(__doc__)
    names, layer, *roots = map(Path, arguments)
    gc.disable()  # the compiler leaves nothing to collect, and is a tenth faster
    layer.mkdir(parents=True)
    for line in names.read_text(encoding="utf-8").splitlines():
        digest, _, path = line.partition(" ")
        compile_file(path, digest, roots, layer / CACHE)
    settle(layer)


if __name__ == "__main__":
    main(sys.argv[1:])
