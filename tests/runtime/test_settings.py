import logging
from typing import Annotated, Self

import pytest
from pydantic import Field, SecretStr, model_validator

from service_runtime.settings import ServerSettings, Settings, WorkerSettings, load
from service_runtime.stop import stop

KINDS = [Settings, ServerSettings, WorkerSettings]


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_default_and_says_what_is_allowed(kind: type[Settings]) -> None:
    assert load(kind) == kind()
    assert all(field.description for field in kind.model_fields.values())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("SHUTDOWN_TIMEOUT", "5")
    settings = load(Settings)
    assert (settings.log_level, settings.shutdown_timeout) == ("DEBUG", 5)


def test_settings_take_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "error")
    monkeypatch.setenv("SHUTDOWN_TIMEOUT", "5")
    monkeypatch.setenv("SHUTDOWN_DELAY", "7")
    load(ServerSettings).apply()
    assert (logging.getLogger().level, stop.timeout, stop.delay) == (logging.ERROR, 5, 7)


@pytest.mark.parametrize(
    ("given", "believed"),
    [
        ("", [""]),
        ("*", ["*"]),
        ("10.1.2.3, ::1", ["10.1.2.3/32", "::1/128", "::ffff:10.1.2.3/128"]),
        ("10.8.0.0/16", ["10.8.0.0/16", "::ffff:10.8.0.0/112"]),
    ],
)
def test_proxies_are_believed_over_ipv6_sockets_too(
    monkeypatch: pytest.MonkeyPatch, given: str, believed: list[str]
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", given)
    assert load(ServerSettings).proxies() == believed


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Settings, "LOG_LEVEL", "loud"),
        (Settings, "SHUTDOWN_TIMEOUT", "0"),
        (ServerSettings, "SHUTDOWN_DELAY", "-1"),
        (ServerSettings, "FORWARDED_ALLOW_IPS", "proxy"),
        (ServerSettings, "FORWARDED_ALLOW_IPS", "10.1.2.3/8"),
        (ServerSettings, "FORWARDED_ALLOW_IPS", "10.1.2.3,*"),
        (ServerSettings, "ROOT_PATH", "shop"),
        (ServerSettings, "ROOT_PATH", "/shop/"),
        (ServerSettings, "HOST", ""),
        (ServerSettings, "PORT", "abc"),
        (ServerSettings, "PORT", "70000"),
        (WorkerSettings, "INTERVAL", "-1"),
        (WorkerSettings, "INTERVAL", "nan"),
        (WorkerSettings, "HEARTBEAT_MAX_AGE", "soon"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_line(
    kind: type[Settings], name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        load(kind)
    assert end.value.code == 2
    allowed = kind.model_fields[name.lower()].description
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
