# Rival: the Poetry recipe that articles and starter projects of 2023 to 2026 settled on: slim, dependencies before the code,
# Poetry's cache in a cache mount, bytecode compiled, the venv copied into a slim image without Poetry.
# Adapted to the lab: pip's index setting and Poetry's mirror plugin send both to the mirror.
ARG PYTHON_VERSION=3.14
ARG DEBIAN_SUITE=trixie

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE} AS builder
ENV PIP_INDEX_URL=https://mirror.kakao.com/pypi/simple/ \
    POETRY_PYPI_MIRROR_URL=https://mirror.kakao.com/pypi/simple/ \
    POETRY_NO_INTERACTION=1 \
    POETRY_VIRTUALENVS_IN_PROJECT=1 \
    POETRY_CACHE_DIR=/tmp/poetry_cache
RUN pip install poetry==2.5.1 poetry-plugin-pypi-mirror==0.6.5
WORKDIR /app
COPY pyproject.toml poetry.lock ./
RUN --mount=type=cache,target=/tmp/poetry_cache poetry install --only main --no-root --compile

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE} AS runtime
ENV VIRTUAL_ENV=/app/.venv PATH=/app/.venv/bin:$PATH
WORKDIR /app
COPY --from=builder /app/.venv /app/.venv
COPY src/reference_service ./reference_service
CMD ["python", "-m", "reference_service"]
