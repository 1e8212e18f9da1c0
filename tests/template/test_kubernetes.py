"""The example for Kubernetes: valid, and it grants what the contract proves the image to live with."""

import re
import tomllib

import pytest
import yaml

from tests.helpers.combinations import CHOICES
from tests.helpers.project import Bake, run

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_example_grants_what_the_contract_proves(bake: Bake, service: str) -> None:
    project = bake(service_type=service)
    path = project.path / "deploy/kubernetes.yaml"
    run("kubernetes-validate", "--strict", path)
    run("kubernetes-validate", "--strict", "--kubernetes-version", "1.34", path)
    parts = {part["kind"]: part for part in yaml.safe_load_all(path.read_text())}
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pyproject = tomllib.loads(project.read("pyproject.toml"))

    # Pod Security Standards, restricted.
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    dockerfile = project.read("Dockerfile")
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile
    # The limits of the contract; the engine's m is Mi.
    terms = pyproject["tool"]["image-contract"]
    (volume,) = pod["volumes"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert volume["emptyDir"]["sizeLimit"] == terms["tmp"].replace("m", "Mi")
    limits = container["resources"]["limits"]
    assert limits == {"memory": terms["memory"].replace("m", "Mi"), "cpu": f"{terms['cpus'] * 1000:.0f}m"}

    assert container["image"].endswith(f"/{project.answers['project_slug']}:{pyproject['project']['version']}")
    if "EXPOSE" in dockerfile:
        assert set(parts) == {"Deployment", "PodDisruptionBudget", "Service"}
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
        assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    else:
        assert set(parts) == {"Deployment", "PodDisruptionBudget"}
        assert f'"{container["livenessProbe"]["exec"]["command"][-1]}"]' in dockerfile
    grace = pod["terminationGracePeriodSeconds"]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    timeout = re.search(r"shutdown_timeout: .*= (\d+)$", project.read("src/service_runtime/settings.py"), re.MULTILINE)
    assert timeout
    assert grace > sleep + int(timeout[1])


def test_a_wrong_manifest_is_refused(bake: Bake) -> None:
    project = bake()
    project.replace("deploy/kubernetes.yaml", "maxUnavailable: 1", "maxUnavailable: [1]")
    assert run("kubernetes-validate", "--strict", project.path / "deploy/kubernetes.yaml", check=False).returncode != 0
