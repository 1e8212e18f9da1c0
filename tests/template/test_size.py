"""How much a team receives to read: each number may only go down."""

import pytest

from tests.helpers.project import Bake

pytestmark = pytest.mark.quick
# Lines of a file in the rendered default.
MOST = {
    "AGENTS.md": 20,
    "README.md": 120,
    "tools/audit.py": 60,
    "tools/doctor.py": 120,
    "tools/engine.py": 35,
    "tools/labels.py": 45,
    "tools/push.py": 100,
    "tools/sbom.py": 150,
}


@pytest.mark.parametrize("name", MOST)
def test_lines_of_a_file(rendered: Bake, name: str) -> None:
    assert len(rendered().read(name).splitlines()) <= MOST[name]
