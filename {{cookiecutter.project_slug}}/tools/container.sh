#!/bin/sh
# A shell for make, in a container of the base image, which has the project's Python: `make check CONTAINER=1`.
#
#   BASE=IMAGE tools/container.sh -c COMMAND
#
# The checkout has the same path in there. From the environment: DOCKER, RUN_FLAGS (more options for `docker run`), and what
# tools/build/mirror.py reads; the credentials are those of pip and uv. Exit status: the command's; 125 without a container.
set -eu

# The owner of the checkout, as the container sees it: root when the engine is one of a user's own.
# shellcheck disable=SC2016
set -- sh -c 'exec setpriv --reuid="$(stat -c %u .)" --regid="$(stat -c %g .)" --clear-groups sh "$@"' sh "$@"
set -- "$BASE" "$@"
for name in PYPI_MIRROR MIRROR_FALLBACK MIRROR_TIMEOUT HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    set -- --env "$name" "$@"
done
netrc=${NETRC:-$HOME/.netrc}
if [ -f "$netrc" ]; then set -- --volume "$netrc:/run/secrets/netrc:ro" "$@"; fi

# The network of this machine, which reaches what the index is reached by; and SELinux would deny the checkout.
# shellcheck disable=SC2086
exec ${DOCKER:-docker} run --rm --init --network host --security-opt label=disable ${RUN_FLAGS:-} --env HOME=/tmp \
    --volume "$PWD:$PWD" --workdir "$PWD" "$@"
