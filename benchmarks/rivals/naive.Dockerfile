# Rival: what a first Dockerfile for a Poetry project looks like: one stage, everything copied, everything installed.
# Adapted to the lab: pip's index setting and Poetry's mirror plugin send both to the mirror, since Poetry reads no pip setting.
ARG PYTHON_VERSION=3.14
ARG DEBIAN_SUITE=trixie

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE}
ENV PIP_INDEX_URL=https://mirror.kakao.com/pypi/simple/ \
    POETRY_PYPI_MIRROR_URL=https://mirror.kakao.com/pypi/simple/
RUN pip install poetry poetry-plugin-pypi-mirror
WORKDIR /app
COPY . .
RUN poetry config virtualenvs.create false && poetry install --only main --no-interaction
CMD ["python", "-m", "reference_service"]
