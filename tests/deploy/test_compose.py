"""docker-compose.yml against the compose schema, the Dockerfile and the settings."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.deploy.dockerfile import environment, stages
from tests.deploy.known import ROOT, SECRETS, drain_s, in_bytes, needed_bytes, unknown

FILE = ROOT / "docker-compose.yml"
OURS = ("api", "worker", "api-gpu", "worker-gpu")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, its merges resolved."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def test_the_schema() -> None:
    """It is what the compose specification describes."""
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours(compose: dict[str, Any], name: str) -> None:
    """Built from the target of its name; settings that exist; time to finish;
    nothing it could write but its volumes.
    """
    service = compose["services"][name]
    assert service["build"]["target"] == name
    assert name in stages()
    assert not unknown(service["environment"])
    # a worker gives back what is not done and waits up to 10 s for it, processes end after that
    assert float(service["stop_grace_period"].removesuffix("s")) >= drain_s(service["environment"]) + 30
    assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert service["read_only"]
    assert f"store:{environment(name)['INPHASE_STATE_DIR']}" in service["volumes"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert ("devices" in service["deploy"]["resources"].get("reservations", {})) == name.endswith("-gpu")
    assert service.get("profiles", []) == (["gpu"] if name.endswith("-gpu") else [])


def test_secrets_are_files_outside(compose: dict[str, Any]) -> None:
    """No password stands in the file; what is mounted bears the names that the settings read;
    workers get no API key.
    """
    assert set(compose["secrets"]) == SECRETS | {"grafana_password"}
    assert all(re.search(r"/\w+$", secret["file"]) for secret in compose["secrets"].values())
    for name in OURS:
        service = compose["services"][name]
        assert service["environment"]["INPHASE_SECRETS_DIR"] == "/run/secrets"
        expected = SECRETS if name.startswith("api") else {"inphase_redis_password"}
        assert set(service["secrets"]) == expected
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "/secrets/" in ignored


def test_only_the_service_is_reachable(compose: dict[str, Any]) -> None:
    """API and Grafana are published, on this machine unless told otherwise; Redis, workers, Prometheus are not."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"api", "api-gpu", "grafana"}
    assert all(port.startswith("${INPHASE_BIND:-127.0.0.1}:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", ["api", "api-gpu"])
def test_what_requests_may_hold_fits_the_container(compose: dict[str, Any], name: str) -> None:
    """By the default bounds: nothing that is admitted gets the API killed for want of memory."""
    service = compose["services"][name]
    limit = re.fullmatch(r"\$\{\w+:-(\w+)\}", service["deploy"]["resources"]["limits"]["memory"])
    assert limit is not None
    assert needed_bytes(service["environment"]) <= in_bytes(limit[1])


def test_monitoring_is_asked_for(compose: dict[str, Any]) -> None:
    """Prometheus and Grafana come with their profile, find what they read in the repository, and each other."""
    found = {name: compose["services"][name] for name in ("prometheus", "grafana")}
    for service in found.values():
        assert service["profiles"] == ["monitoring"]
        assert service["read_only"]
        assert "@" in service["image"] or re.fullmatch(r"\$\{\w+:-[\w/]+:v?\d+\.\d+\.\d+\}", service["image"])
        for mounted in service["volumes"]:
            source = mounted.partition(":")[0]
            assert (ROOT / source).is_dir() if source.startswith(".") else source in compose["volumes"]
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/inphase.yml").read_text())["providers"][0]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in found["grafana"]["volumes"]
    home = found["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "deploy/grafana/dashboards" / home.rpartition("/")[2]).is_file()
    configuration = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    scraped, workers = configuration["scrape_configs"]
    for target in workers["dns_sd_configs"][0]["names"]:
        told = compose["services"][target]["environment"]["INPHASE_METRICS_PORT"]
        assert int(told) == workers["dns_sd_configs"][0]["port"]
    assert scraped["authorization"]["credentials_file"] == f"/run/secrets/{found['prometheus']['secrets'][0]}"
    assert set(scraped["dns_sd_configs"][0]["names"]) <= set(compose["services"])
    assert scraped["dns_sd_configs"][0]["port"] == int(environment("api")["INPHASE_PORT"])
