"""How the service starts with fewer rights, as another user, without a network, with little memory, on another port."""

from contract.image import Image
from contract.plugin import point


@point(
    "start: read-only, no capability or new privilege",
    fix="write below /tmp only, declare no VOLUME, listen on a port above 1023",
)
def test_hardened(image: Image) -> str:
    """Nothing but /tmp can be written, as in deploy/base/kubernetes.yaml."""
    volumes = image.config.get("Volumes")
    assert not volumes, f"a VOLUME is writable: {', '.join(volumes)}"
    rights = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    with image.running(*rights, f"--tmpfs=/tmp:size={image.terms['tmp']}") as container:
        return container.must_be_healthy()


@point("start: as any user", fix="make files readable for all (a+rX), and look up no user by its number")
def test_any_user(image: Image) -> str:
    """OpenShift assigns an arbitrary user number, and group 0."""
    with image.running("--user=1000660000:0") as container:
        return container.must_be_healthy()


@point("start: without a network", fix="connect when it is needed; at the start, wait for nobody")
def test_no_network(image: Image) -> str:
    """The service is alive without any other service."""
    with image.running("--network=none") as container:
        return container.must_be_healthy()


@point("start: within limits", fix="load less, start fewer threads; or raise the limits in [tool.image-contract]")
def test_limits(image: Image) -> str:
    """The memory, CPU and processes of deploy/base/kubernetes.yaml are enough for a healthy start."""
    limits = {option: image.terms[option.partition("-")[0]] for option in ("memory", "cpus", "pids-limit")}
    if image.is_emulated:
        del limits["memory"]  # each process has that of its emulator as well
    with image.running(*(f"--{option}={limit}" for option, limit in limits.items())) as container:
        assert not container.state("OOMKilled"), f"killed: more than {image.terms['memory']} of memory"
        return container.must_be_healthy() + ("; memory not judged: emulated" if image.is_emulated else "")


@point("settings: honours PORT", fix="give the settings to serve(), which listens there", only="server")
def test_port(image: Image) -> str:
    """The service listens where it is told to."""
    with image.running("--env=PORT=8123") as container:
        assert container.get(8123, "/healthz") == [200], "nobody answers on 8123"
    return "answers on 8123"
