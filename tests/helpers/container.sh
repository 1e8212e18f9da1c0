#!/bin/sh
# make's shell in a container of a base image, for a Python that this machine has not: `make check SHELL=.../container.sh`.
#
#   CONTAINER=IMAGE tests/helpers/container.sh -c COMMAND
#
# The checkout has the same path inside. From the environment: RUN_FLAGS (more options for `docker run`), and what the
# project's mirror.py reads. Exit status: the command's; 125 if no container starts.
set -eu

# Run as the owner of the checkout as the container sees it, which is root with a rootless engine.
# shellcheck disable=SC2016
set -- sh -c 'exec setpriv --reuid="$(stat -c %u .)" --regid="$(stat -c %g .)" --clear-groups sh "$@"' sh "$@"
set -- "$CONTAINER" "$@"
for name in PYPI_MIRROR MIRROR_FALLBACK MIRROR_TIMEOUT HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    set -- --env "$name" "$@"
done

# The network of this machine, so that the index is reached as from here; without SELinux, which would deny the checkout.
# shellcheck disable=SC2086
exec docker run --rm --init --network host --security-opt label=disable ${RUN_FLAGS:-} --env HOME=/tmp \
    --volume "$PWD:$PWD" --workdir "$PWD" "$@"
