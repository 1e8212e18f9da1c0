"""What the image promises, as a pytest suite: `make check-image`, or

    PYTHONPATH=tools python -m contract IMAGE [options of pytest: -k stop:, --junitxml FILE]

Each test is a point of the contract. The table says for each

    held        with what was seen
    FAILED      with what was seen, and how to fix it
    EXCEPTED    it does not hold, with the reason in pyproject.toml
    not judged  the service can't start, since a required setting has no value

Exit status: 0 all points hold or are excepted, 1 some do not, 2 the image can't be examined. No container is left.

It needs Docker, or Podman with DOCKER=podman. Files are read from what the engine exports, so that the image can't lie
about itself. An image that exposes a port is a server, any other one a worker. SLOW=10 in the environment multiplies
every time limit by 10, for an emulated image; there the memory limit is not set. [tool.image-contract] in
pyproject.toml has what differs by project:

    settings       values for settings without a default, for every start; a placeholder for a secret
    start-seconds  the time in which the service must be healthy
    memory, cpus, pids, tmp    the limits, as in deploy/base/kubernetes.yaml; tmp is the size of /tmp
    budget         the size that each part of the image may have, in MB (10^6 bytes)
    except         points that need not hold, or files that a point about files ignores, each with the reason:
                       "stop: idle, status 0 within 1 s" = "sends its last metrics"
                       "files: no tool, package manager or cache" = { "*/bin/git" = "the service clones repositories" }

Tests in tests/image/ are the project's own points. A point returns what it saw:

    import pytest
    from contract.image import Image

    @pytest.mark.point("greeting: knows names", fix="app.py: the route /greeting")
    def test_greeting(image: Image) -> str:
        with image.running() as container:
            assert container.get(8000, "/greeting?name=you") == [200]
        return "200"
"""
