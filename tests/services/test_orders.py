"""Orders: PostgreSQL, SQLAlchemy, migrations in the image, a secret without a default, work after the answer."""

import json
import re
import urllib.request

import pytest

from tests.helpers import services
from tests.helpers.contract import judge, red, table
from tests.helpers.engine import Engine, call, healthcheck, stop, until
from tests.helpers.project import Project
from tests.services.conftest import Debian, Scaffold

SETTING = 'settings = { DATABASE_URL = "postgresql+psycopg://placeholder:placeholder@localhost/orders" }'
EXCEPTION = '"ready: /readyz and /healthz answer 200" = "the image is judged without a database"'


@pytest.fixture(scope="module")
def project(scaffold: Scaffold) -> Project:
    """The project, as its team has it."""
    project = scaffold("orders", service_type="fastapi")
    project.replace("pyproject.toml", "settings = {}", SETTING)
    project.replace("pyproject.toml", "[tool.image-contract.except]\n", f"[tool.image-contract.except]\n{EXCEPTION}\n")
    project.replace("pyproject.toml", "venv = 45", "venv = 105")
    services.let_through(project, "alembic", "alembic.ini")
    services.finish(project, "alembic>=1.18,<2", "psycopg[binary]>=3.3,<4", "sqlalchemy>=2,<3")
    return project


@pytest.fixture(scope="module")
def image(project: Project, engine: Engine) -> str:
    """Its image."""
    return engine.build(project, "--build-arg", "VERSION=0.1.0")[0]


@pytest.fixture(scope="module")
def database(debian: Debian, engine: Engine) -> str:
    """The setting that leads to a real server."""
    script = services.SERVICES / "servers/postgresql.sh"
    options = ("--user", "postgres", "--volume", f"{script}:/postgresql.sh:ro")
    server = engine.start(*options, debian("postgresql"), "/postgresql.sh")
    until(lambda: "ready to accept connections" in engine.docker("logs", server).stderr)
    return f"DATABASE_URL=postgresql+psycopg://orders:secret-of-orders@{services.address(engine, server)}/postgres"


@pytest.fixture(scope="module")
def migrated(image: str, database: str, engine: Engine) -> str:
    """The same, once the tables are there: made by the image itself, as in production."""
    migrate = ("run", "--rm", "--read-only", "--env", database, image, "alembic")
    engine.docker(*migrate, "upgrade", "head")
    assert "0002 (head)" in engine.docker(*migrate, "current").stdout
    return database


def order(engine: Engine, container: str, item: str) -> int:
    """Order something; return the order's number."""
    body = json.dumps({"item": item}).encode()
    address = f"http://{engine.published(container)}/orders"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return int(answer.read())


def test_the_project_passes_its_own_checks(project: Project) -> None:
    services.check(project)


def test_the_contract(project: Project, image: str) -> None:
    rows = table(judge(project, image))
    assert rows.pop("ready: /readyz and /healthz answer 200").status == "EXCEPTED"
    assert red(rows) == {}


def test_a_stop_waits_for_work_after_an_answer(image: str, migrated: str, engine: Engine) -> None:
    options = ("--publish", "127.0.0.1::8000", "--env", migrated)
    container = engine.start(*options, "--env", "CONFIRMATION=2", image)
    assert call(engine, container, "/readyz") == (200, '"ready"')
    number = order(engine, container, "tea")
    assert json.loads(call(engine, container, f"/orders/{number}")[1]) == {"item": "tea", "confirmed": False}
    assert stop(engine, container) == 0
    logs = engine.logged(container)
    assert f"confirmed order {number}" in [line["message"] for line in logs]
    assert {line["level"] for line in logs} == {"INFO"}
    assert "secret-of-orders" not in json.dumps(logs)

    container = engine.start(*options, image)
    assert json.loads(call(engine, container, f"/orders/{number}")[1]) == {"item": "tea", "confirmed": True}


def test_a_first_request_compiles_nothing(image: str, migrated: str, engine: Engine) -> None:
    """Neither what a plain function runs in, nor the dialect that the address of the database names."""
    container = engine.start("--publish", "127.0.0.1::8000", "--env", migrated, "--env", "PYTHONVERBOSE=1", image)
    until(lambda: healthcheck(engine, container))
    call(engine, container, f"/orders/{order(engine, container, 'coffee')}")
    loaded = re.findall(r"^# code object from '?([^'\s]+)'?$", engine.docker("logs", container).stderr, re.MULTILINE)
    assert loaded
    assert [path for path in loaded if path.endswith(".py")] == []


def test_an_update_of_the_template(project: Project) -> None:
    services.update(project)
