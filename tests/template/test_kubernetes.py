"""The example for Kubernetes: valid, and it grants what the contract proves the image to live with."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from service_runtime.settings import Settings
from tests.helpers.combinations import CHOICES
from tests.helpers.project import Bake, Project, run

pytestmark = pytest.mark.quick


BASE = "deploy/base/kubernetes.yaml"
Parts = dict[str, dict[str, Any]]


def parts_in(text: str) -> Parts:
    """Return the objects in a manifest by their kind."""
    return {part["kind"]: part for part in yaml.safe_load_all(text)}


def deployed(project: Project) -> dict[str, Any]:
    """Return the pod that the base describes."""
    pod: dict[str, Any] = parts_in(project.read(BASE))["Deployment"]["spec"]["template"]["spec"]
    return pod


def rendered(project: Project, place: str) -> str:
    """Return what would be applied for a place."""
    return run("kubectl", "kustomize", project.path / "deploy" / place).stdout


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_example_grants_what_the_contract_proves(bake: Bake, service: str) -> None:
    project = bake(service_type=service)
    parts = parts_in(project.read(BASE))
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

    if "EXPOSE" in dockerfile:
        assert set(parts) == {"Deployment", "PodDisruptionBudget", "Service"}
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
        assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    else:
        assert set(parts) == {"Deployment", "PodDisruptionBudget"}
        assert f'"{container["livenessProbe"]["exec"]["command"][-1]}"]' in dockerfile


@pytest.mark.parametrize("service", CHOICES["service_type"])
def test_a_place_is_the_base_with_its_own_image_and_settings(bake: Bake, service: str) -> None:
    project = bake(service_type=service)
    project.write("applied.yaml", rendered(project, "production"))
    for version in ([], ["--kubernetes-version", "1.34"]):
        run("kubernetes-validate", "--strict", *version, project.path / "applied.yaml")
    base, place = parts_in(rendered(project, "base")), parts_in(project.read("applied.yaml"))
    pod = place["Deployment"]["spec"]["template"]["spec"]
    image = pod["containers"][0]["image"]
    assert re.fullmatch(r"registry\.example\.com/example-service@sha256:[0-9a-f]{64}", image)
    levels = [variable for variable in pod["containers"][0]["env"] if variable["name"] == "LOG_LEVEL"]
    assert levels == [{"name": "LOG_LEVEL", "value": "WARNING"}]
    levels[0]["value"] = "INFO"
    pod["containers"][0]["image"] = "example-service"
    place["Deployment"]["spec"]["replicas"] = 2
    assert place == base


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
    project.replace(BASE, "maxUnavailable: 1", "maxUnavailable: [1]")
    assert run("kubernetes-validate", "--strict", project.path / BASE, check=False).returncode != 0


def test_a_place_without_its_base_is_refused(bake: Bake) -> None:
    project = bake()
    project.replace("deploy/base/kustomization.yaml", "[kubernetes.yaml]", "[kubernetes.yml]")
    assert run("kubectl", "kustomize", project.path / "deploy/production", check=False).returncode != 0
