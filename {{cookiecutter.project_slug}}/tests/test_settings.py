import pytest
from pydantic import SecretStr

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


def test_all_wrong_settings_are_named_but_no_secret_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class WithSecrets(Settings):
        token: SecretStr = SecretStr("")
        key: SecretStr | None = None
        missing: str

    fields = WithSecrets.model_fields
    fields["token"].metadata.append(None)
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(SystemExit):
        load(WithSecrets)
    assert "LOG_LEVEL is 'loud'" in capsys.readouterr().err
