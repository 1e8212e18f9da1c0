# Rival: uv's own multi-stage example (the project uv-docker-example): its lock, cache mounts, bytecode, /app copied whole.
# Adapted to the lab: the uv binary comes from a local image, as there is no registry to take uv's from (the copy costs the
# same, and no download is counted against it); the index is the mirror, under the name that its lock was made with.
ARG PYTHON_VERSION=3.14
ARG DEBIAN_SUITE=trixie

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE} AS builder
COPY --from=benchmark-uv /uv /bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_DEV=1 UV_PYTHON_DOWNLOADS=0 \
    UV_DEFAULT_INDEX=https://mirror.kakao.com/pypi/simple/
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    uv sync --locked --no-install-project
COPY . /app
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE}
RUN groupadd --system --gid 999 nonroot \
    && useradd --system --gid 999 --uid 999 --create-home nonroot
COPY --from=builder --chown=nonroot:nonroot /app /app
ENV PATH=/app/.venv/bin:$PATH
USER nonroot
WORKDIR /app
CMD ["python", "-m", "reference_service"]
