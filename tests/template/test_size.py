"""How much a team receives to read: each number may only go down."""

import pytest

from tests.helpers.project import Bake

pytestmark = pytest.mark.quick
# Lines of a file, or of all that match a pattern, in the rendered default.
MOST = {
    "AGENTS.md": 20,
    "Dockerfile": 105,
    "Makefile": 191,
    "README.md": 120,
    "tools/audit.py": 65,
    "tools/doctor.py": 120,
    "tools/engine.py": 35,
    "tools/labels.py": 45,
    "tools/push.py": 100,
    "tools/sbom.py": 150,
    "tools/contract/*.py": 904,
    "tools/image/*.py": 920,
    "tools/**/*.py": 2415,
    "tools/pins/*.txt": 920,
    "src/service_runtime/*.py": 760,
}
FILES = 77


@pytest.mark.parametrize("name", MOST)
def test_lines(rendered: Bake, name: str) -> None:
    files = list(rendered().path.glob(name))
    assert files
    assert sum(len(path.read_text().splitlines()) for path in files) <= MOST[name]


def test_files(rendered: Bake) -> None:
    assert len(rendered().files()) <= FILES
