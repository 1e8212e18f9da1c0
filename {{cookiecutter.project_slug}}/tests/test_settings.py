from typing import Annotated, Self

import pytest
from pydantic import Field, SecretStr, model_validator

from {{ cookiecutter.package_name }}.settings import Settings, load


def test_every_setting_has_a_default_and_says_what_is_allowed() -> None:
    assert load() == Settings()
    assert all(field.description for field in Settings.model_fields.values())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("SHUTDOWN_TIMEOUT", "5")
    assert (load().log_level, load().shutdown_timeout) == ("DEBUG", 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "loud"),
        ("SHUTDOWN_TIMEOUT", "0"),
{%- if cookiecutter.service_type == "fastapi" %}
        ("HOST", ""),
        ("PORT", "abc"),
        ("PORT", "70000"),
{%- else %}
        ("INTERVAL", "-1"),
        ("INTERVAL", "nan"),
        ("HEARTBEAT_MAX_AGE", "soon"),
{%- endif %}
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == 2
    allowed = Settings.model_fields[name.lower()].description
    assert capsys.readouterr().err == f"wrong settings: {name} is {value!r}, allowed: {allowed}\n"


class Extended(Settings):
    token: Annotated[SecretStr, Field(min_length=9, description="9 or more")]
    key: Annotated[Annotated[SecretStr, Field(min_length=9)] | None, Field(description="9 or more")] = None
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.key == self.token:
            raise ValueError("KEY must differ from TOKEN")
        return self


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "TOKEN is missing, allowed: 9 or more"),
        (
            {"TOKEN": "hush", "KEY": "hush", "LOG_LEVEL": "x"},
            "LOG_LEVEL is 'x', allowed: DEBUG INFO WARNING ERROR CRITICAL;"
            " TOKEN is wrong, allowed: 9 or more; KEY is wrong, allowed: 9 or more",
        ),
        ({"TOKEN": "very hush", "KEY": "very hush"}, "Value error, KEY must differ from TOKEN"),
        ({"TOKEN": "very hush", "TAGS": "hush"}, 'error parsing value for field "tags" from source'),
    ],
)
def test_every_wrong_setting_is_named_and_no_secret_is_printed(
    environment: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        load(Extended)
    error = capsys.readouterr().err
    assert error.startswith(f"wrong settings: {line}")
    assert error.count("\n") == 1
    assert "hush" not in error
