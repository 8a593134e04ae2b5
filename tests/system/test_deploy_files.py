"""Dockerfiles, compose file and manifests agree with the settings, and give away no privilege."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]  # it has no types of its own

from cloud.settings import CloudSettings
from cloud.wire.service import settings as reading
from cloud.wire.service.settings import ServiceSettings
from edge.settings import EdgeSettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, type[ServiceSettings]] = {"edge": EdgeSettings, "cloud": CloudSettings}
KNOWN = {"WAYSIDE_CONFIG"} | {
    f"WAYSIDE_{service.upper()}_{field.name.upper()}"
    for service, settings in SERVICES.items()
    for field in msgspec.structs.fields(settings)
}
FILES = [
    "Dockerfile.edge",
    "Dockerfile.cloud",
    "deploy/compose.yaml",
    "deploy/kubernetes/edge.yaml",
    "deploy/kubernetes/cloud.yaml",
    "deploy/running_images.py",
    "docs/operations.md",
]


def dockerfile(service: str) -> str:
    return (ROOT / f"Dockerfile.{service}").read_text("utf-8").replace("\\\n", " ")


def image_environ(service: str) -> dict[str, str]:
    final_stage = dockerfile(service).rsplit("\nFROM ", 1)[1]
    return dict(re.findall(r"\b(WAYSIDE_\w+)=(\S+)", final_stage))


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    return document


def manifests(service: str) -> dict[str, Any]:
    text = (ROOT / f"deploy/kubernetes/{service}.yaml").read_text("utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def pod(service: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifests(service)["Deployment"]["spec"]["template"]["spec"]
    return spec


def deployments(service: str) -> Iterator[dict[str, str]]:
    """The environment of each way to start a service."""
    yield image_environ(service)
    yield image_environ(service) | compose()["services"][service]["environment"]
    container = pod(service)["containers"][0]
    yield image_environ(service) | {entry["name"]: entry["value"] for entry in container["env"]}


def settings_of(service: str, environ: dict[str, str]) -> ServiceSettings:
    prefix = f"WAYSIDE_{service.upper()}_"
    return reading.read(
        SERVICES[service], section=service, prefix=prefix, flags={}, environ=environ, config_file=None
    )


@pytest.mark.parametrize("path", FILES)
def test_every_variable_named_is_a_setting_that_exists(path: str) -> None:
    named = set(re.findall(r"\bWAYSIDE_[A-Z_]*[A-Z]\b", (ROOT / path).read_text("utf-8")))
    assert named - KNOWN == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_environment_is_accepted_and_health_checks_pass_the_host_check(service: str) -> None:
    for environ in deployments(service):
        settings = settings_of(service, environ)
        assert settings.data_dir == Path("/data")
        assert not settings.is_loopback
        assert "127.0.0.1" in settings.allowed_hosts


@pytest.mark.parametrize("service", SERVICES)
def test_the_port_is_the_same_everywhere(service: str) -> None:
    port = SERVICES[service]().port
    container = pod(service)["containers"][0]
    assert int(image_environ(service)[f"WAYSIDE_{service.upper()}_PORT"]) == port
    assert f"\nEXPOSE {port}\n" in dockerfile(service)
    assert container["ports"][0]["containerPort"] == port
    assert manifests(service)["Service"]["spec"]["ports"][0]["port"] == port


@pytest.mark.parametrize("orchestrator", ["compose", "kubernetes"])
def test_the_edge_calls_the_cloud_by_a_name_the_cloud_answers_to(orchestrator: str) -> None:
    which = ["compose", "kubernetes"].index(orchestrator) + 1
    edge, cloud = (settings_of(service, list(deployments(service))[which]) for service in ("edge", "cloud"))
    assert isinstance(edge, EdgeSettings)
    host, port = edge.upstream_url.removeprefix("http://").removesuffix("/v1").split(":")
    assert host in cloud.allowed_hosts
    assert int(port) == cloud.port
    names = (
        compose()["services"]
        if orchestrator == "compose"
        else [manifests("cloud")["Service"]["metadata"]["name"]]
    )
    assert host in names


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_pinned_installs_by_hash_and_is_nobody(service: str) -> None:
    text = dockerfile(service)
    assert "\nARG PYTHON_IMAGE=python:3.11-slim-bookworm\n" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    installs = re.findall(r"pip [^&\n]*\binstall\b[^&\n]*", text)
    assert installs
    assert all("--require-hashes" in line and "--no-cache-dir" in line for line in installs)
    assert "\nUSER 10001:10001\n" in text
    assert f'\nENTRYPOINT ["python", "-m", "{service}"]\n' in text


def test_the_edge_image_takes_of_the_cloud_only_the_wire() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile("edge"), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert {source for source in sources if source.startswith("cloud")} == {"cloud/__init__.py", "cloud/wire"}


@pytest.mark.parametrize("service", SERVICES)
def test_compose_gives_a_service_no_privilege(service: str) -> None:
    definition = compose()["services"][service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in definition.get("ports", ()))


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_gives_a_service_no_privilege(service: str) -> None:
    spec = pod(service)
    container = spec["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_service_links_cannot_overwrite_a_setting(service: str) -> None:
    """Kubernetes would set WAYSIDE_EDGE_PORT=tcp://… for a Service named wayside-edge."""
    assert pod(service)["enableServiceLinks"] is False


@pytest.mark.parametrize("service", SERVICES)
def test_probes_carry_a_host_the_service_answers_to(service: str) -> None:
    allowed = [settings_of(service, environ).allowed_hosts for environ in deployments(service)][-1]
    container = pod(service)["containers"][0]
    for probe in (container["readinessProbe"], container["livenessProbe"]):
        (header,) = probe["httpGet"]["httpHeaders"]
        assert header["name"] == "Host"
        assert header["value"] in allowed


@pytest.mark.parametrize("service", SERVICES)
def test_keys_files_and_secrets_are_mounted_where_the_settings_look(service: str) -> None:
    spec = pod(service)
    mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    files = [entry["value"] for entry in spec["containers"][0]["env"] if entry["name"].endswith("_FILE")]
    assert files
    assert {str(Path(file).parent) for file in files} <= mounts
    assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == {
        volume["name"] for volume in spec["volumes"]
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_runtime_waits_longer_than_requests_in_flight_get(service: str) -> None:
    grace_s = SERVICES[service]().shutdown_grace_s
    assert pod(service)["terminationGracePeriodSeconds"] > grace_s
    assert int(compose()["services"][service]["stop_grace_period"].removesuffix("s")) > grace_s
