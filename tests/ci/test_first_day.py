"""A project's first day, line by line as the README has it: from nothing to an image in a registry."""

import re
import shlex
import uuid
from pathlib import Path

from tests.ci.conftest import Registry
from tests.helpers.combinations import ROOT
from tests.helpers.engine import Engine
from tests.helpers.machine import index_environment
from tests.helpers.project import run

GOAL = 5


def test_five_lines_lead_to_an_image_in_a_registry(
    template: Path, engine: Engine, registry: Registry, tmp_path: Path
) -> None:
    text = (ROOT / "README.md").read_text()
    (block,) = [block for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) if "docker login" in block]
    lines = [line.partition("  #")[0] for line in block.splitlines()]
    assert len(lines) <= GOAL
    # What differs here: where template and registry are, nobody to answer questions, no password to ask for.
    create, enter, git, login, make = lines
    assert login.startswith("docker login ")
    repository = f"first-day-{uuid.uuid4().hex[:8]}"
    image = f"{registry.address}/{repository}"
    engine.images += [image, f"{image}:main"]
    answers = '{"project_slug": "my-service", "service_type": "worker"}'
    create = create.replace("pipx run ", "").replace("https://github.com/ORG/TEMPLATE", str(template))
    create += f" --no-input --extra-context {shlex.quote(answers)}"
    make = re.sub(r"IMAGE=\S+", f"IMAGE={image}", make)
    env = {
        **index_environment(),
        "BUILD_FLAGS": " ".join(engine.build_flags),
        "DEBIAN_SUITE": engine.suites["3.14"],
        # Whether it keeps its whole contract is judged elsewhere, with patience for a busy machine.
        "POINTS": "size:",
        "UNCHECKED": "1",
    }
    done = run("sh", "-ec", "\n".join([create, enter, git, make]), cwd=tmp_path, env=env)
    revision = run("git", "rev-parse", "HEAD", cwd=tmp_path / "my-service").stdout.strip()
    engine.images.append(f"{image}:{revision}")
    (digest,) = set(registry.digests(repository).values())
    assert registry.digests(repository) == dict.fromkeys([revision, "main"], digest)
    assert done.stdout.splitlines()[-1] == f"{image}@{digest} is pushed as {revision}, main"
