"""Compile packages to bytecode, beside their sources.

A .pyc depends on what its process compiled before it (python/cpython#129724). So each package has a process of its own,
which takes its files by name: the result is the same everywhere. It is never compared with the sources at run time
(unchecked hash, PEP 552), since an image does not change.
"""

import gc
import hashlib
import importlib.util
import multiprocessing.connection
import os
import py_compile
import shutil
import sys
from collections.abc import Iterable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import NamedTuple


class Sources(NamedTuple):
    """The modules of a package: each one's path, and the path that it has in the image; a key for what is kept."""

    files: list[tuple[str, str]]
    key: str = ""


def compile_module(path: str, shown: str, target: str) -> str:
    """Compile the module at `path`, which is `shown` in the image, to `target`; return what is wrong with it, or ""."""
    try:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(path, target, shown, doraise=True, invalidation_mode=mode)
    except (py_compile.PyCompileError, ValueError) as error:  # a template, or code for another Python
        return str(error).strip()
    return ""


def compile_package(sources: Sources, cache: Path | None = None) -> list[str]:
    """Compile a package, or take what `cache` has of it; return what is wrong with its modules."""
    targets = {path: importlib.util.cache_from_source(path) for path, _ in sources.files}
    if cache is None:
        return [compile_module(path, shown, targets[path]) for path, shown in sorted(sources.files)]
    kept, new, errors = cache / sources.key, cache / f"{sources.key}.{os.getpid()}", []
    if not kept.exists():
        for number, (path, shown) in enumerate(sorted(sources.files)):
            errors.append(compile_module(path, shown, str(new / str(number))))
        new.mkdir(exist_ok=True)
        try:
            new.rename(kept)
        except OSError:  # another build was faster
            shutil.rmtree(new)
    for number, (path, _) in enumerate(sorted(sources.files)):
        if (kept / str(number)).exists():
            Path(targets[path]).parent.mkdir(exist_ok=True)
            shutil.copyfile(kept / str(number), targets[path])
    return errors


def compile_all(packages: Iterable[Sources], cache: Path | None = None, *, strict: bool = False) -> None:
    """Compile packages, each in a process of its own, as many at a time as there are processors.

    `cache` is a folder that keeps bytecode from one build to the next, or None. A module that can't be compiled is left
    out; with `strict`, this ends with exit status 1 and the reason.
    """
    if cache:
        cache /= hashlib.sha256(sys.version.encode() + importlib.util.MAGIC_NUMBER).hexdigest()[:16]
        cache.mkdir(exist_ok=True)

    def work(sources: Sources) -> None:
        gc.disable()  # a tenth faster
        errors = [error for error in compile_package(sources, cache) if error]
        if errors and strict:
            sys.exit("\n".join([*errors, "what is no Python needs a name that does not end in .py"]))

    context = multiprocessing.get_context("fork")
    started: list[ForkProcess] = []
    running: list[ForkProcess] = []
    for sources in sorted(packages, key=lambda item: -sum(Path(path).stat().st_size for path, _ in item.files)):
        while len(running) >= (os.cpu_count() or 1):
            multiprocessing.connection.wait([process.sentinel for process in running])
            running = [process for process in running if process.is_alive()]
        process = context.Process(target=work, args=(sources,))
        process.start()
        started.append(process)
        running.append(process)
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        sys.exit(1)
