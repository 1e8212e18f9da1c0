"""What the examples for Kubernetes and Compose promise of each other, and of the settings they set."""

from typing import Any

import pytest
import yaml

from service_runtime.settings import Settings
from tests.helpers.combinations import CHOICES
from tests.helpers.project import Bake, Project

pytestmark = [pytest.mark.quick, pytest.mark.parametrize("service", CHOICES["service_type"])]


def deployment(project: Project) -> dict[str, Any]:
    """Return the pod that deploy/kubernetes.yaml describes."""
    spec: dict[str, Any] = next(yaml.safe_load_all(project.read("deploy/kubernetes.yaml")))["spec"]["template"]["spec"]
    return spec


def test_a_service_of_another_name_sets_nothing(bake: Bake, service: str) -> None:
    """REDIS_PORT, say, which Kubernetes would set for a Service named `redis`."""
    assert deployment(bake(service_type=service))["enableServiceLinks"] is False


def test_no_single_slow_answer_has_consequences(bake: Bake, service: str) -> None:
    [container] = deployment(bake(service_type=service))["containers"]
    probes = [probe for name, probe in container.items() if name.endswith("Probe")]
    assert probes
    for probe in probes:
        assert probe.get("timeoutSeconds", 1) >= 2
        assert probe.get("failureThreshold", 3) >= 3


def test_nothing_is_killed_before_its_stop_is_over(bake: Bake, service: str) -> None:
    project = bake(service_type=service)
    pod = deployment(project)
    [container] = pod["containers"]
    [timeout] = [float(variable["value"]) for variable in container["env"] if variable["name"] == "SHUTDOWN_TIMEOUT"]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["terminationGracePeriodSeconds"] > sleep + timeout
    [composed] = yaml.safe_load(project.read("compose.yaml"))["services"].values()
    assert float(composed["stop_grace_period"].removesuffix("s")) > Settings.model_fields["shutdown_timeout"].default


def test_the_memory_limit_has_room_for_tmp(bake: Bake, service: str) -> None:
    pod = deployment(bake(service_type=service))
    [container] = pod["containers"]
    [volume] = pod["volumes"]
    limit, request, size = (
        int(text.removesuffix("Mi"))
        for text in (
            container["resources"]["limits"]["memory"],
            container["resources"]["requests"]["memory"],
            volume["emptyDir"]["sizeLimit"],
        )
    )
    assert limit == request + size
