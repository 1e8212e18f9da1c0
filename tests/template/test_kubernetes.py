"""The example for Kubernetes: valid, and it grants what the contract proves the image to live with."""

import tomllib
from typing import Any

import pytest
import yaml

from service_runtime.settings import Settings
from tests.helpers.combinations import CHOICES
from tests.helpers.project import Bake, Project, run

pytestmark = pytest.mark.quick


def deployed(project: Project) -> dict[str, Any]:
    """Return the pod that deploy/kubernetes.yaml describes."""
    pod: dict[str, Any] = next(yaml.safe_load_all(project.read("deploy/kubernetes.yaml")))["spec"]["template"]["spec"]
    return pod


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
    resources = container["resources"]
    assert resources["requests"]["memory"] == terms["memory"].replace("m", "Mi")
    # /tmp is in memory, too.
    memory = sum(int(terms[name].removesuffix("m")) for name in ("memory", "tmp"))
    assert resources["limits"] == {"memory": f"{memory}Mi", "cpu": f"{terms['cpus'] * 1000:.0f}m"}

    assert container["image"].endswith(f"/{project.answers['project_slug']}:{pyproject['project']['version']}")
    if "EXPOSE" in dockerfile:
        assert set(parts) == {"Deployment", "PodDisruptionBudget", "Service"}
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
        assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    else:
        assert set(parts) == {"Deployment", "PodDisruptionBudget"}
        assert f'"{container["livenessProbe"]["exec"]["command"][-1]}", "--watch"]' in dockerfile


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_nothing_is_killed_before_its_stop_is_over(bake: Bake, service: str) -> None:
    project = bake(service_type=service)
    pod = deployed(project)
    (container,) = pod["containers"]
    (timeout,) = [float(variable["value"]) for variable in container["env"] if variable["name"] == "SHUTDOWN_TIMEOUT"]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["terminationGracePeriodSeconds"] > sleep + timeout
    (composed,) = yaml.safe_load(project.read("compose.yaml"))["services"].values()
    assert float(composed["stop_grace_period"].removesuffix("s")) > Settings.model_fields["shutdown_timeout"].default


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_a_service_of_another_name_sets_nothing(bake: Bake, service: str) -> None:
    """REDIS_PORT, say, which Kubernetes would set for a Service named `redis`."""
    assert deployed(bake(service_type=service))["enableServiceLinks"] is False


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_no_single_slow_answer_has_consequences(bake: Bake, service: str) -> None:
    (container,) = deployed(bake(service_type=service))["containers"]
    probes = [probe for name, probe in container.items() if name.endswith("Probe")]
    assert len(probes) >= 2
    for probe in probes:
        assert probe["timeoutSeconds"] >= 2
        assert probe.get("failureThreshold", 3) >= 3


def test_a_wrong_manifest_is_refused(bake: Bake) -> None:
    project = bake()
    project.replace("deploy/kubernetes.yaml", "maxUnavailable: 1", "maxUnavailable: [1]")
    assert run("kubernetes-validate", "--strict", project.path / "deploy/kubernetes.yaml", check=False).returncode != 0
