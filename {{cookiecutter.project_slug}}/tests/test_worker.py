import pytest

from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.worker import create_job


@pytest.mark.parametrize(("steps", "last"), [(3, "did step 3"), (1, "gave back the rest")])
def test_a_stop_gives_back_what_is_left(
    steps: int, last: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answers = iter([True] * steps + [False])
    create_job(settings)(lambda: next(answers))
    assert caplog.messages[-1] == last
