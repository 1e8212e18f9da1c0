"""`make settings`: every setting of a service, as the text of an `.env` file."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, PostgresDsn, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_runtime.settings import ServerSettings, WorkerSettings
from settings import describe
from tests.helpers.combinations import ROOT

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("kind", [ServerSettings, WorkerSettings])
def test_a_new_project_has_the_list(kind: type[BaseSettings]) -> None:
    assert describe(kind) == (ROOT / f"templates/env/{kind.__name__}.env").read_text()


class Login(BaseModel):
    password: SecretStr = SecretStr("hush")


class Settings(BaseSettings):
    url: Annotated[PostgresDsn, Field(description="a database")]
    backup: PostgresDsn = PostgresDsn("postgresql://app:hush@db/x")
    token: SecretStr = SecretStr("hush")
    tags: list[str] = ["a"]
    login: Login = Login()


class Nested(Settings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", env_nested_delimiter="__")


@pytest.mark.parametrize(
    ("kind", "prefix", "login"),
    [
        (Settings, "", '# login (Login)\n# LOGIN={"password":"**********"}\n'),
        (Nested, "SHOP_", '# shop_login__password (SecretStr)\n# SHOP_LOGIN__PASSWORD="**********"\n'),
    ],
)
def test_a_team_sees_its_own_and_no_secret(kind: type[BaseSettings], prefix: str, login: str) -> None:
    text = describe(kind)
    assert f"# a database (PostgresDsn, required)\n{prefix}URL=\n" in text
    assert f'# {prefix}BACKUP="postgresql://...@db/x"\n' in text
    assert f'# {prefix}TAGS=["a"]\n' in text
    assert login in text
    assert "hush" not in text
