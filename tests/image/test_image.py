"""An image as a user meets it: started, called, stopped, asked for another module. The rest is in test_contract.py."""

import pytest

from tests.helpers.combinations import CHOICES
from tests.helpers.engine import PYTHON, Build, Engine, live


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_start_call_stop(build: Build, engine: Engine, service: str) -> None:
    project, image = build(service_type=service)
    container = live(engine, image)
    assert engine.logged(container)
    assert "usage: python -m json.tool" in engine.docker("run", "--rm", image, "json.tool", "--help").stdout
    slug = project.answers["project_slug"]
    source = f"import importlib.metadata, os; print(importlib.metadata.version({slug!r}), os.getuid())"
    done = engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", source)
    assert done.stdout.split() == ["0.1.0", "10001"]
