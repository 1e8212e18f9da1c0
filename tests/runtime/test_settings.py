import logging
from enum import Enum
from typing import Annotated, Literal, Self

import pytest
from pydantic import AliasChoices, BaseModel, Field, PostgresDsn, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_runtime.settings import ServerSettings, Settings, WorkerSettings, load
from service_runtime.stop import stop

KINDS = [Settings, ServerSettings, WorkerSettings]


def refused(kind: type[BaseSettings], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the one line says that ends the process."""
    with pytest.raises(SystemExit) as end:
        load(kind)
    assert end.value.code == 2
    written = capsys.readouterr()
    assert (written.out, written.err.count("\n")) == ("", 1)
    assert written.err.startswith("wrong settings: ")
    return written.err.removeprefix("wrong settings: ").rstrip()


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_default_and_says_what_is_allowed(kind: type[Settings]) -> None:
    assert load(kind) == kind()
    assert all(field.description for field in kind.model_fields.values())


def test_settings_come_from_the_environment_and_take_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "error")
    monkeypatch.setenv("SHUTDOWN_TIMEOUT", "5")
    settings = load(Settings)
    assert (settings.log_level, settings.shutdown_timeout) == ("ERROR", 5)
    settings.apply()
    assert (logging.getLogger().level, stop.timeout) == (logging.ERROR, 5)


@pytest.mark.parametrize(
    ("kind", "name", "value", "shown"),
    [
        (Settings, "LOG_LEVEL", "LOUD", "'LOUD'"),
        (Settings, "SHUTDOWN_TIMEOUT", "0", "'0'"),
        (ServerSettings, "SHUTDOWN_DELAY", "-1", "'-1'"),
        (ServerSettings, "KEEP_ALIVE", "0", "'0'"),
        (ServerSettings, "ROOT_PATH", "shop", "wrong"),
        (ServerSettings, "ROOT_PATH", "/shop/", "wrong"),
        (ServerSettings, "HOST", "", "wrong"),
        (ServerSettings, "PORT", "abc", "'abc'"),
        (ServerSettings, "PORT", "70000", "'70000'"),
        (ServerSettings, "MAX_BODY", "-1", "'-1'"),
        (ServerSettings, "MAX_CONCURRENCY", "0", "'0'"),
        (ServerSettings, "READY_TIMEOUT", "0", "'0'"),
        (WorkerSettings, "INTERVAL", "-1", "'-1'"),
        (WorkerSettings, "INTERVAL", "nan", "'nan'"),
        (WorkerSettings, "HEARTBEAT_MAX_AGE", "soon", "'soon'"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_line(
    kind: type[Settings],
    name: str,
    value: str,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    allowed = kind.model_fields[name.lower()].description
    assert refused(kind, capsys) == f"{name} is {shown}, allowed: {allowed}"


class Colour(Enum):
    RED = "red"


class Login(BaseModel):
    user: Annotated[str, Field(description="a name")] = "app"
    password: SecretStr
    port: Annotated[int, Field(description="a port")] = 5432


class Extended(Settings):
    token: Annotated[SecretStr, Field(min_length=9, description="9 or more")]
    key: Annotated[Annotated[SecretStr, Field(min_length=9)] | None, Field(description="9 or more")] = None
    tags: tuple[str, ...] = ()
    cors: Annotated[list[str], Field(default_factory=list, description="who may ask")]
    prices: Annotated[dict[str, int], Field(default_factory=dict)]
    database_url: PostgresDsn | None = None
    login: Login | None = None
    colour: Colour = Colour.RED
    size: Literal["small", "large"] | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.key == self.token:
            raise ValueError("KEY must differ from TOKEN")
        return self


TOKEN = {"TOKEN": "very hush"}
AS_LIST = 'as JSON, such as ["a", "b"]'
AS_OBJECT = 'as JSON, such as {"a": "b"}'


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "TOKEN is missing, allowed: 9 or more"),
        (
            {"TOKEN": "hush", "KEY": "hush", "LOG_LEVEL": "X"},
            "LOG_LEVEL is 'X', allowed: DEBUG INFO WARNING ERROR CRITICAL;"
            " TOKEN is wrong, allowed: 9 or more; KEY is wrong, allowed: 9 or more",
        ),
        ({**TOKEN, "KEY": "very hush"}, "Value error, KEY must differ from TOKEN"),
        ({**TOKEN, "TAGS": "hush"}, f"TAGS is wrong, allowed: tuple[str, ...] (tuple[str, ...]) {AS_LIST}"),
        ({**TOKEN, "CORS": "http://a,http://hush"}, f"CORS is wrong, allowed: who may ask (list[str]) {AS_LIST}"),
        ({**TOKEN, "CORS": '["a", 7]'}, f"CORS is wrong, allowed: who may ask (list[str]) {AS_LIST}"),
        (
            {**TOKEN, "PRICES": '{"hush": "x"}'},
            f"PRICES is wrong, allowed: dict[str, int] (dict[str, int]) {AS_OBJECT}",
        ),
        ({**TOKEN, "DATABASE_URL": "mysql://app:hush@db/x"}, "DATABASE_URL is wrong, allowed: PostgresDsn | None"),
        ({**TOKEN, "LOGIN": '{"password": ["hush"]}'}, "LOGIN.PASSWORD is wrong, allowed: SecretStr"),
        ({**TOKEN, "LOGIN": '{"user": "hush"}'}, "LOGIN.PASSWORD is missing, allowed: SecretStr"),
        ({**TOKEN, "LOGIN": "hush"}, f"LOGIN is wrong, allowed: Login | None (Login | None) {AS_OBJECT}"),
        ({**TOKEN, "COLOUR": "blue"}, "COLOUR is 'blue', allowed: Colour"),
        ({**TOKEN, "SIZE": "huge"}, "SIZE is 'huge', allowed: Literal['small', 'large'] | None"),
    ],
)
def test_every_wrong_setting_is_named_and_no_secret_is_printed(
    environment: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shown = refused(Extended, capsys).replace("Optional[PostgresDsn]", "PostgresDsn | None")
    shown = shown.replace("Optional[Login]", "Login | None").replace(
        "Optional[Literal['small', 'large']]", "Literal['small', 'large'] | None"
    )
    assert shown == line
    assert "hush" not in shown


class Prefixed(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", env_nested_delimiter="__")

    port: Annotated[int, Field(description="a port")] = 1
    url: Annotated[str, Field(validation_alias="DATABASE_URL", description="a URL")]
    host: Annotated[int, Field(validation_alias=AliasChoices("DB_HOST", "HOST"), description="a number")] = 1
    login: Login


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"SHOP_PORT": "abc"}, "SHOP_PORT is 'abc', allowed: a port"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is missing, allowed: a URL"),
        ({"DB_HOST": "abc"}, "DB_HOST is 'abc', allowed: a number"),
        ({"SHOP_LOGIN__PORT": "abc"}, "SHOP_LOGIN__PORT is 'abc', allowed: a port"),
        ({"SHOP_LOGIN__PASSWORD": ""}, "SHOP_LOGIN__PASSWORD is missing, allowed: SecretStr"),
    ],
)
def test_variables_are_named_as_the_environment_names_them(
    environment: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"DATABASE_URL": "x", "SHOP_LOGIN__PASSWORD": "x", "SHOP_LOGIN__USER": "x"}
    for name, value in {**right, **environment}.items():
        if value:
            monkeypatch.setenv(name, value)
    assert refused(Prefixed, capsys) == line
