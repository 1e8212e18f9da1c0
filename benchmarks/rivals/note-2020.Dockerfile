# Rival: the Dockerfile of an engineer's note of 2020 that this template descends from. A full Debian image builds a venv with
# `poetry export | pip`, then `poetry install` verifies it; a slim image receives the venv.
# Changed only where today's tools force it: buster, whose packages are gone, is the current suite; export is a plugin of its
# own since Poetry 2; `--no-dev` is now `--only main`; pip runs once with one --index-url (of two it took the last, so the
# mirror went unused). The note also moved apt to the mirror; this service needs no Debian package, so no apt runs at all.
ARG PYTHON_VERSION=3.14
ARG DEBIAN_SUITE=trixie

FROM python:${PYTHON_VERSION}-${DEBIAN_SUITE} AS builder
ENV VIRTUAL_ENV=/.venv
RUN pip install --index-url https://mirror.kakao.com/pypi/simple/ poetry poetry-plugin-export \
    && python -m venv /.venv
WORKDIR /app
COPY pyproject.toml poetry.lock ./
RUN poetry export --without-hashes | /.venv/bin/pip install --index-url https://mirror.kakao.com/pypi/simple/ -r /dev/stdin
COPY . .
RUN poetry install --only main

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE}
WORKDIR /app
COPY --from=builder /.venv /.venv
COPY . .
ENTRYPOINT ["/.venv/bin/python"]
CMD ["-m", "reference_service"]
