"""Check that poetry.lock fits pyproject.toml; choose the files to install; make the project's metadata.

    python lock.py FOLDER [--build]

Reads both in the working folder, with Poetry's own reader. FOLDER, which is made, gets

    packages-1.txt ...   the wheels that this machine takes, by the layer of the image that they go into
    packages-built.txt   with --build: the source archives of packages without such a wheel
    with-tests.txt       the packages whose tests stay in
    layer/               a layer of the image: the .dist-info folder of the project's wheel, but for RECORD (PEP 517),
                         and the programs that [project.scripts] names

A line of a list is a file: name and version of the package, name of the file, its hash, and, for a package that
pyproject.toml takes from an index of its own ([[tool.poetry.source]]) or from an address, that index or address.

[tool.image] of pyproject.toml has what the image takes beside that: `extras` of the project's own, and `with-tests`,
the packages that need their tests to work; those of all others stay out.

Which layer a package goes into follows from its name alone, so that a change of one moves no other.

Exit status 1 when poetry.lock is missing, stale, unreadable, or names something without a hash (from git, a folder
or a file); when a package has no wheel for this Python; when [tool.image] names what there is not; and when
pyproject.toml wants another wheel than one of all that is in src/.
"""

import hashlib
import sys
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from installer.scripts import Script
from installer.utils import parse_entrypoints
from packaging.markers import Marker, default_environment
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from poetry.core.masonry.api import prepare_metadata_for_build_wheel
from poetry.core.packages.package import PackageFile
from poetry.packages.locker import Locker

from build.layer import settle

PROGRAMS = "/app/.venv/bin"
MAIN = canonicalize_name("main")
REMEDY = "run 'make lock' and commit the file"
ADDRESS = 'name its address: "{name} @ https://..."'
# Where an image takes no package from, and what to do instead.
REFUSED = {
    "git": ", which has no hash: publish it on an index, or name the archive of its commit,"
    ' "{name} @ https://.../archive/<commit>.tar.gz" (build_image=full builds it)',
    "directory": ", a folder that the build does not get: move its code into src/ and name it in tool.poetry.packages,"
    ' {{ include = "...", from = "src" }}; or publish it on an index',
    "file": f", which the build does not get: publish it on an index, or {ADDRESS}",
    "url": f", no web address: publish it on an index, or {ADDRESS}",
}

# The layers of the packages, the heaviest first. What is known to have wheels of more than 2 MB lies with its like; all
# else is spread over LIGHT more layers by a hash of the name.
HEAVY = (
    "contourpy h5py matplotlib numba numexpr numpy opencv-python opencv-python-headless pillow scikit-image scipy",
    "duckdb geopandas jaxlib llvmlite onnxruntime pandas polars pyarrow pyspark scikit-learn spacy statsmodels sympy "
    "tensorflow tokenizers torch transformers triton xgboost",
    "aiohttp ansible asyncpg babel botocore cryptography cython django faker google-api-python-client greenlet grpcio "
    "kubernetes lxml oracledb playwright psycopg-binary psycopg2-binary pydantic-core pymongo pymupdf pynacl selenium "
    "sentry-sdk shapely sqlalchemy uvloop",
)
LIGHT = 4
LAYERS = [str(number) for number in range(1, len(HEAVY) + LIGHT + 1)]


def layer_of(name: str) -> str:
    """Return the number of the layer that a package goes into."""
    for number, names in zip(LAYERS, HEAVY, strict=False):
        if name in names.split():
            return number
    return LAYERS[len(HEAVY) + int(hashlib.sha256(name.encode()).hexdigest(), 16) % LIGHT]


def wheel(files: Sequence[PackageFile], ranks: dict[Tag, int]) -> PackageFile | None:
    """Return the wheel among `files` that fits this machine best, as pip would choose; None if none does."""
    found = []
    for file in files:
        try:
            _, _, build, tags = parse_wheel_filename(file["file"])
        except InvalidWheelFilename:  # a source archive
            continue
        if fitting := [ranks[tag] for tag in tags if tag in ranks]:
            found.append((-min(fitting), build, file))
    return max(found, key=lambda item: item[:2])[2] if found else None


def archive(files: Sequence[PackageFile]) -> PackageFile | None:
    """Return the source archive among `files`; None if there is none."""
    return next((file for file in files if file["file"].endswith((".tar.gz", ".zip"))), None)


def known(wanted: object, names: Collection[str], where: str) -> list[str]:
    """Return the names in a list of [tool.image], in their normal form; end when it is no list of some of `names`."""
    found: list[str] | None = [canonicalize_name(str(name)) for name in wanted] if isinstance(wanted, list) else None
    if found is None or {*found} - {*names}:
        allowed = ", ".join(sorted(names)) or "nothing: there is none"
        sys.exit(f"pyproject.toml: tool.image.{where} is {wanted!r}; allowed: a list of some of {allowed}")
    return found


def chosen(locker: Locker, *, build: bool, extras: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return layer -> the lines of its list, for the packages of the main group that this machine needs."""
    environment = {name: str(value) for name, value in default_environment().items()}
    ranks = {tag: number for number, tag in enumerate(sys_tags())}
    lists: dict[str, list[str]] = {number: [] for number in [*LAYERS, *(["built"] if build else [])]}
    for package, info in locker.locked_packages().items():
        if MAIN not in info.groups:
            continue
        marker = info.markers[MAIN].apply({"extra": tuple(extras)})
        if marker.is_empty() or not (marker.is_any() or Marker(str(marker)).evaluate(environment)):
            continue
        kind, source = package.source_type, package.source_url or ""
        if kind not in (None, "legacy") and not (kind == "url" and source.startswith(("https://", "http://"))):
            sys.exit(f"{package.name} is locked to {kind} {source}{REFUSED[kind].format(name=package.name)}")
        place, file = layer_of(package.name), wheel(package.files, ranks)
        if file is None and build:
            file, place = archive(package.files), "built"
        if file is None:
            sys.exit(
                f"{package.name}=={package.version} has no wheel for this Python: take a version that has one,"
                " or answer build_image=full (an image with a compiler; see README.md)"
            )
        words = [package.name, str(package.version), file["file"], file["hash"], source]
        lists[place].append(" ".join(words).rstrip())
    return lists


def goes_into_wheel(include: str | dict[str, Any]) -> bool:
    """Return whether an item of `include` changes a wheel: by default it is for source archives only."""
    return isinstance(include, dict) and "wheel" in include.get("format", ())


def prepare_metadata(settings: dict[str, Any], layer: Path) -> None:
    """Make the layer with the .dist-info folder; refuse [tool.poetry] settings that the image can't follow."""
    ignored: list[str] = [key for key in ("build", "exclude") if key in settings]
    if any(map(goes_into_wheel, settings.get("include", []))):
        ignored.append("include")
    if any(item.get("from") != "src" or "to" in item for item in settings.get("packages", [])):
        ignored.append("packages")
    if ignored:
        sys.exit(
            f"pyproject.toml: tool.poetry has {', '.join(ignored)}, but the image takes src/ as it is:"
            " keep there what belongs into the image and nothing else, and take the setting out"
        )
    for name, script in settings.get("scripts", {}).items():
        if isinstance(script, dict):
            sys.exit(
                f"pyproject.toml: tool.poetry.scripts has a file for {name}, which no image gets:"
                " name a function in [project.scripts]"
            )
    library = layer / "app/lib"
    library.mkdir(parents=True)
    try:
        prepare_metadata_for_build_wheel(str(library))
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"pyproject.toml: the project's metadata can't be made of it: {error}")
    make_programs(library, layer / PROGRAMS[1:])
    settle(layer)


def make_programs(library: Path, folder: Path) -> None:
    """Make the programs that the metadata in `library` names, as an installer would."""
    for path in library.glob("*.dist-info/entry_points.txt"):
        folder.mkdir(parents=True)
        for name, module, function, kind in parse_entrypoints(path.read_text(encoding="utf-8")):
            _, text = Script(name, module, function, kind).generate(f"{PROGRAMS}/python", "posix")
            (folder / name).write_bytes(text)
            (folder / name).chmod(0o755)


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if len(arguments) not in (1, 2) or arguments[1:] not in ([], ["--build"]):
        sys.exit(__doc__)
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"pyproject.toml can't be read: {error}")
    image = project.get("tool", {}).get("image", {})
    if strangers := image.keys() - {"extras", "with-tests"}:
        sys.exit(f"pyproject.toml: tool.image has {', '.join(sorted(strangers))}; allowed: extras, with-tests")
    own = [canonicalize_name(name) for name in project.get("project", {}).get("optional-dependencies", {})]
    extras = known(image.get("extras", []), own, "extras")
    locker = Locker(Path("poetry.lock").resolve(), project)
    if not locker.is_locked():
        sys.exit(f"poetry.lock is missing: {REMEDY}")
    try:
        if not locker.is_fresh():
            sys.exit(f"poetry.lock does not fit pyproject.toml: {REMEDY}")
        if not locker.is_locked_groups_and_markers():
            sys.exit(f"poetry.lock was written by a Poetry older than 2.0: {REMEDY}")
        lists = chosen(locker, build="--build" in arguments, extras=extras)
    except (RuntimeError, ValueError) as error:
        sys.exit(f"poetry.lock can't be read: {error}")
    packages = {line.split()[0] for lines in lists.values() for line in lines}
    with_tests = known(image.get("with-tests", []), packages, "with-tests")
    folder = Path(arguments[0])
    prepare_metadata(project.get("tool", {}).get("poetry", {}), folder / "layer")
    for name, lines in {
        **{f"packages-{name}": lines for name, lines in lists.items()},
        "with-tests": with_tests,
    }.items():
        text = "".join(f"{line}\n" for line in sorted(lines))
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
