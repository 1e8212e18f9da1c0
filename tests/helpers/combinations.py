"""Which answers must give a working project, which images are built, what must be refused: the tests run over these."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DECLARED = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
CHOICES: dict[str, list[str]] = {
    name: value for name, value in DECLARED.items() if isinstance(value, list) and not name.startswith("_")
}
# What a replay file has beside the answers.
PRIVATE = {name: value for name, value in DECLARED.items() if name.startswith("_") and name != "__prompts__"}

Answers = dict[str, str]


def row(python: str, service: str, mirror: str, build_image: str, ci: str, licence: str) -> Answers:
    """Return the answers to the six choices, in the order of cookiecutter.json."""
    return dict(zip(CHOICES, (python, service, mirror, build_image, ci, licence), strict=True))


# Every value of every choice, and every pair of values of two choices (a test checks that), the default answers first.
MUST_WORK: list[Answers] = [
    row("3.14", "fastapi", "kakao", "slim", "github", "Proprietary"),
    row("3.14", "worker", "none", "full", "gitlab", "MIT"),
    row("3.14", "fastapi", "none", "slim", "none", "Apache-2.0"),
    row("3.15", "worker", "none", "slim", "github", "Apache-2.0"),
    row("3.15", "fastapi", "kakao", "full", "gitlab", "Proprietary"),
    row("3.15", "worker", "kakao", "full", "none", "MIT"),
    row("3.13", "worker", "kakao", "slim", "none", "Proprietary"),
    row("3.13", "fastapi", "none", "full", "github", "MIT"),
    row("3.13", "fastapi", "none", "slim", "gitlab", "Apache-2.0"),
    row("3.12", "worker", "kakao", "full", "gitlab", "Apache-2.0"),
    row("3.12", "fastapi", "kakao", "slim", "github", "MIT"),
    row("3.12", "worker", "none", "slim", "none", "Proprietary"),
    row("3.11", "fastapi", "kakao", "full", "none", "Apache-2.0"),
    row("3.11", "worker", "none", "full", "github", "Proprietary"),
    row("3.11", "fastapi", "none", "slim", "gitlab", "MIT"),
]


def image(python: str, service: str, mirror: str, build_image: str) -> Answers:
    """Return the answers to the four choices that an image depends on."""
    return dict(zip(list(CHOICES)[:4], (python, service, mirror, build_image), strict=True))


# Every service type on every Python, and every pair of service type, mirror and build image (a test checks that).
IMAGES: list[Answers] = [
    image("3.14", "fastapi", "kakao", "slim"),
    image("3.14", "worker", "none", "full"),
    image("3.15", "fastapi", "none", "slim"),
    image("3.15", "worker", "kakao", "slim"),
    image("3.13", "fastapi", "kakao", "full"),
    image("3.13", "worker", "none", "slim"),
    image("3.12", "fastapi", "kakao", "slim"),
    image("3.12", "worker", "none", "slim"),
    image("3.11", "fastapi", "none", "slim"),
    image("3.11", "worker", "kakao", "slim"),
]

# Answers that pre_gen refuses, with a word that its message must hold beside the variable's name.
MUST_BE_REFUSED: list[tuple[Answers, str]] = [
    ({"project_slug": "My Service"}, "my-service"),
    ({"project_slug": "-service"}, "a letter first"),
    ({"project_slug": "service-"}, "single hyphens between"),
    ({"project_slug": "a--b"}, "single hyphens between"),
    ({"project_slug": "1service"}, "a letter first"),
    ({"project_slug": "x" * 64}, "at most 63"),
    ({"project_slug": "tests"}, "part of itself"),
    ({"project_slug": "tools"}, "part of itself"),
    ({"project_slug": "service-runtime"}, "part of itself"),
    ({"project_slug": "no"}, "YAML"),
    ({"package_name": "my-service"}, "identifier"),
    ({"package_name": "MyService"}, "lower case"),
    ({"package_name": "class"}, "keyword"),
    ({"package_name": "json"}, "Python's own"),
    ({"package_name": "tests"}, "not taken"),
    ({"package_name": "tools"}, "not taken"),
    ({"package_name": "service_runtime"}, "not taken"),
    ({"package_name": "compression"}, "Python's own"),
    ({"package_name": "dotenv"}, "of a dependency"),
    ({"project_name": " "}, "some text"),
    ({"project_name": "Service "}, "no space"),
    ({"project_name": "two\nlines"}, "one line"),
    ({"project_name": "bell\a"}, "printable"),
    ({"description": "line\u2028separator"}, "printable"),
    ({"description": "x" * 201}, "200 characters"),
    ({"description": "ends with \\"}, "no backslash at the end"),
    ({"author_name": ""}, "some text"),
    ({"author_name": "Team <team@example.com>"}, "no < or >"),
    ({"author_email": "nobody"}, "team@example.com"),
    ({"author_email": "team.@example.com"}, "team@example.com"),
    ({"author_email": "team@example.com-"}, "team@example.com"),
    ({"author_email": 'a"@example.com'}, "team@example.com"),
]

# What a person may well type, and what breaks templates that do not escape it.
HOSTILE_TEXTS: list[str] = [
    'A "quoted" service',
    "It's C:\\new\\users",
    "ends with \\",
    'ends with "',
    '"; import os; os.abort(); x = "',
    "'''triple''' and \"\"\"triple\"\"\"",
    "주문 서비스 — café, 😀",
    "<b>&amp;</b> $HOME ${HOME} `id` $(id) %s %(x)s {x} # no comment: really, [x]",
    "- starts like a list",
    "true",
]


def identify(answers: Answers) -> str:
    """Return a readable test id for a combination."""
    return "-".join(answers.values())
