# What the benchmark needs beside the recipes, from the versions that the template pins: `tools` locks the reference service,
# `uv` stands for the image that uv's recipe copies its binary from.
ARG PYTHON_VERSION=3.14
ARG DEBIAN_SUITE=trixie

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_SUITE} AS tools
COPY tools/pins/uv.txt tools/pins/poetry.txt /
RUN pip install --quiet --root-user-action ignore --index-url https://mirror.kakao.com/pypi/simple/ \
    --no-deps --require-hashes -r /uv.txt -r /poetry.txt
RUN cp "$(command -v uv)" /uv

FROM scratch AS uv
COPY --from=tools /uv /uv
