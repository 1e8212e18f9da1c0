"""Real images of rendered projects: built, started, called, stopped, on a real engine."""

import pytest

from tests.helpers.combinations import CHOICES, IMAGES, Answers, identify
from tests.helpers.engine import PYTHON, Build, Engine, live


def test_list_covers_every_python_and_service_type() -> None:
    have = {(answers["python_version"], answers["service_type"]) for answers in IMAGES}
    assert have == {(v, s) for v in CHOICES["python_version"] for s in CHOICES["service_type"]}


@pytest.mark.parametrize("answers", IMAGES, ids=identify)
def test_build_start_call_stop(build: Build, engine: Engine, answers: Answers) -> None:
    project, image = build(**answers)
    container = live(engine, image)
    assert engine.logged(container)
    assert "usage: python -m json.tool" in engine.docker("run", "--rm", image, "json.tool", "--help").stdout
    slug = project.answers["project_slug"]
    source = f"import importlib.metadata, os; print(importlib.metadata.version({slug!r}), os.getuid())"
    done = engine.docker("run", "--rm", "--entrypoint", PYTHON, image, "-c", source)
    assert done.stdout.split() == ["0.1.0", "10001"]
