"""What the image promises, as a pytest suite: `make check-image`, or

    PYTHONPATH=tools python -m contract IMAGE [-k WORD] [--junitxml FILE] [other options of pytest]

A test is a point; its marker has the promise, and how to fix what breaks it. `-k stop:` selects those that begin so.
Two are judged at a time; one that comes too late is judged again alone. The table tells of each point

    held        what was seen
    FAILED      what was seen, and how to fix it
    EXCEPTED    it does not hold, and pyproject.toml says why it need not
    not judged  the service can't start, since a required setting has no value

SLOW in the environment makes every limit of time so many times longer: 10 for an image that is emulated, since it is
for another platform than the engine's machine. Its memory is not judged, and requests that are lost in a stop, since
the emulator takes part in both.

Exit status: 0 all hold or are excepted, 1 some do not, 2 the image can't be examined. No container stays behind.

It needs Docker, or Podman by DOCKER=podman. Files are read from what the engine exports, so that the image does not
speak for itself; the service runs as anybody would run it, its clients are a further container in its network. An image
that exposes a port serves HTTP, any other one does jobs. [tool.image-contract] of pyproject.toml has all that differs:

    settings       values for settings without a default, for every start; a secret's is a placeholder
    start-seconds  until the service must be healthy
    memory, cpus, pids, tmp    what it must be content with, as in deploy/base/kubernetes.yaml; tmp is the size of /tmp
    budget         MB (10^6 bytes) that each part of the image may weigh
    except         points that need not hold, or files that one about files lets pass, each with its reason:
                       "start: within limits" = "loads a model of 300 MB"
                       "files: no tool, package manager or cache" = { "*/bin/git" = "the service clones repositories" }

Points of the project's own are the tests in tests/image/. A point returns what it saw:

    import pytest

    from contract.image import Image

    @pytest.mark.point("greeting: knows names", fix="app.py: the route /greeting")
    def test_greeting(image: Image) -> str:
        with image.running() as container:
            assert container.get(8000, "/greeting?name=you") == [200]
        return "200"
"""
