"""The manifests: rendered, checked against Kubernetes' own schemas, and against the service."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import yaml

from service.app import create_app
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.jobs.state import JobState, Priority
from service.settings import Settings
from tests.deploy.dockerfile import environment
from tests.deploy.known import DEPLOY, ROOT, SECRETS, drain_s, in_bytes, needed_bytes, unknown
from tests.deploy.monitoring import metrics_in, recorded

K8S = DEPLOY / "k8s"
MONITORING = (DEPLOY / "prometheus", DEPLOY / "grafana")  # components beside the configuration that they mount
RENDERED = ("base", "overlays/autoscaled", "overlays/autoscaled-api", "overlays/gpu", "overlays/monitored")
OLDEST = "1.30"  # the oldest release that the manifests are checked against
# definitions that a cluster gets with KEDA: no schema is at hand, so what KEDA reads from them is tested below
CUSTOM = {"ScaledObject", "TriggerAuthentication"}
Resource = dict[str, Any]


def files() -> list[Resource]:
    """Every resource as it stands in the files."""
    paths = [path for path in sorted(K8S.rglob("*.yaml")) if path.name != "kustomization.yaml"]
    paths += [folder / "kubernetes.yaml" for folder in MONITORING]
    return [resource for path in paths for resource in yaml.safe_load_all(path.read_text())]


def rendered(folder: str | Path) -> list[Resource]:
    """What `kubectl apply -k` would send: a folder of ours by name, or any other."""
    tool = next((found for name in ("kubectl", "kustomize") if (found := shutil.which(name))), None)
    if tool is None:
        pytest.skip("neither kubectl nor kustomize is installed: overlays cannot be rendered")
    command = [tool, "kustomize"] if tool.endswith("kubectl") else [tool, "build"]
    done = subprocess.run([*command, K8S / folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def check(resources: list[Resource], version: str | None = None) -> None:
    """Every resource is valid, field by field, in a release of Kubernetes, by default the newest known."""
    validator = pytest.importorskip("kubernetes_validate")
    for resource in resources:
        if resource["kind"] not in CUSTOM:
            validator.validate(resource, version or validator.latest_version(), strict=True)


def test_the_files_are_valid() -> None:
    """Kubernetes knows every field, in an old release and in the newest; every file is part of a kustomization."""
    check(files())
    check(files(), OLDEST)
    listed = {
        (kustomization.parent / name).resolve()
        for kustomization in K8S.rglob("kustomization.yaml")
        for name in yaml.safe_load(kustomization.read_text()).get("resources", [])
    }
    assert {path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml"} <= listed


@pytest.mark.parametrize("folder", RENDERED)
def test_what_is_applied(folder: str) -> None:
    """Rendered, all is valid, in one namespace, and every config map, secret,
    claim and account that is named exists.
    """
    resources = rendered(folder)
    check(resources)
    names = {(resource["kind"], resource["metadata"]["name"]) for resource in resources}
    assert {r["metadata"].get("namespace") for r in resources if r["kind"] != "Namespace"} == {"inphase"}
    for pod in pods(resources).values():
        for volume in pod["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names
            if secret := volume.get("secret"):
                assert secret["secretName"] == "inphase"  # the one that the operator makes
                assert {item["key"] for item in secret["items"]} <= SECRETS | {"grafana_password"}
        for source in pod["containers"][0].get("envFrom", []):
            assert ("ConfigMap", source["configMapRef"]["name"]) in names


def test_settings_exist_and_leave_time_to_finish() -> None:
    """What the pods get as settings are settings; they are killed only after their drain."""
    resources = rendered("base")
    settings = next(r["data"] for r in resources if r["kind"] == "ConfigMap")
    assert not unknown(settings)
    for name in ("inphase-api", "inphase-worker"):
        pod = pods(resources)[name]
        container = pod["containers"][0]
        assert not unknown({variable["name"]: "" for variable in container["env"]})
        assert pod["terminationGracePeriodSeconds"] >= 5 + drain_s(settings) + 25  # preStop, drain, ends of processes
        assert not pod["enableServiceLinks"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        own = environment(name.removeprefix("inphase-"))
        assert {own["INPHASE_STATE_DIR"], settings["INPHASE_SECRETS_DIR"], "/tmp"} == mounts


def test_probes_ask_for_routes_of_the_service() -> None:
    """Every path that a probe asks for answers; the port is the image's."""
    routes = set(create_app(Settings(api_key="0123456789abcdefghij")).openapi()["paths"])  # type: ignore[arg-type]
    container = pods(files())["inphase-api"]["containers"][0]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["path"] for probe in probes} <= routes
    assert {probe["port"] for probe in probes} == {"http"}
    assert container["ports"] == [{"name": "http", "containerPort": int(environment("api")["INPHASE_PORT"])}]


def test_every_pod_is_restricted() -> None:
    """No pod may do what the `restricted` pod security standard forbids, and none can write to its image."""
    for pod in (*pods(files()).values(), *pods(rendered("overlays/gpu")).values()):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert "memory" in container["resources"]["limits"]


def test_policies_and_services_select_pods_that_exist() -> None:
    """What a selector names is the label of a pod, and named ports are theirs."""
    resources = rendered("overlays/autoscaled")
    labels = {name: pod_labels["app.kubernetes.io/name"] for name, pod_labels in _labels(resources).items()}
    assert all(name == label for name, label in labels.items())
    selectors = [r["spec"]["selector"] for r in resources if r["kind"] == "Service"]
    selectors += [r["spec"]["podSelector"]["matchLabels"] for r in resources if r["kind"] == "NetworkPolicy"]
    assert {selector["app.kubernetes.io/name"] for selector in selectors} <= set(labels)


def test_the_overlay_in_the_documentation(tmp_path: Path) -> None:
    """The how-to's own overlay renders, is valid, and mounts the data where its setting says."""
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    block = re.search(r"```yaml\n# kustomization.yaml\n(.*?)```", page, re.DOTALL)
    assert block
    shutil.copytree(K8S, tmp_path / "inphase/deploy/k8s")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "kustomization.yaml").write_text(block[1])
    resources = rendered(tmp_path / "ours")
    check([r for r in resources if r["kind"] in ("Deployment", "PersistentVolumeClaim")])
    container = pods(resources)["inphase-api"]["containers"][0]
    settings = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert not unknown(settings)
    assert settings["INPHASE_DATA_ROOTS"] in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_monitoring_is_wired() -> None:
    """The overlay names both components; what pods mount is generated of files that exist; names are those in the
    configuration, which compose uses as well; policies select pods that exist.
    """
    overlay = yaml.safe_load((K8S / "overlays/monitored/kustomization.yaml").read_text())
    assert [(K8S / "overlays/monitored" / path).resolve() for path in overlay["components"]] == list(MONITORING)
    resources = [r for folder in MONITORING for r in yaml.safe_load_all((folder / "kubernetes.yaml").read_text())]
    generated: dict[str, set[str]] = {}
    for folder in MONITORING:
        component = yaml.safe_load((folder / "kustomization.yaml").read_text())
        assert component["resources"] == ["kubernetes.yaml"]
        for made in component["configMapGenerator"]:
            assert all((folder / name).is_file() for name in made["files"])
            generated[made["name"]] = {name.rpartition("/")[2] for name in made["files"]}
    mounted = {
        volume["configMap"]["name"]
        for pod in pods(resources).values()
        for volume in pod["volumes"]
        if "configMap" in volume
    }
    assert mounted == set(generated)
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert {"prometheus.yml", *configuration["rule_files"]} == generated["inphase-prometheus"]
    services = {r["metadata"]["name"]: r["spec"] for r in resources if r["kind"] == "Service"}
    assert services["api"]["clusterIP"] == "None"  # every replica answers for itself
    assert "api" in configuration["scrape_configs"][0]["dns_sd_configs"][0]["names"]
    assert services["worker"]["clusterIP"] == "None"
    workers = configuration["scrape_configs"][1]["dns_sd_configs"][0]
    (port,) = services["worker"]["ports"]
    container = pods(files())["inphase-worker"]["containers"][0]
    told = next(variable["value"] for variable in container["env"] if variable["name"] == "INPHASE_METRICS_PORT")
    assert "worker" in workers["names"]
    assert workers["port"] == port["port"] == int(told) == container["ports"][0]["containerPort"]
    assert port["targetPort"] == container["ports"][0]["name"]
    assert services["prometheus"]["ports"][0]["port"] == 9090
    labels = {label["app.kubernetes.io/name"] for label in _labels(files()).values()}
    selected = [r["spec"]["podSelector"]["matchLabels"] for r in resources if r["kind"] == "NetworkPolicy"]
    assert {
        each["app.kubernetes.io/name"] for each in [*selected, *(s["selector"] for s in services.values())]
    } <= labels


# KEDA's `redis` scaler: one command by the key's type
COUNTS = {b"list": "LLEN", b"set": "SCARD", b"zset": "ZCARD", b"hash": "HLEN", b"none": "LLEN"}


def test_workers_are_scaled_on_jobs_to_do(tmp_path: Path) -> None:
    """The keys that KEDA counts hold the queued and the running jobs, whatever their priority, and no ended one."""
    scaler = next(r for r in files() if r["kind"] == "ScaledObject")["spec"]
    keys = {trigger["name"]: trigger["metadata"]["listName"] for trigger in scaler["triggers"]}
    assert scaler["advanced"]["scalingModifiers"] == {"formula": " + ".join(keys), "target": "1"}
    try:
        server = EmbeddedRedis(tmp_path)
    except NoRedisError as error:
        pytest.skip(str(error))
    records = Records(server.start())
    try:
        with redis.Redis.from_url(server.url) as client:

            def counted() -> dict[str, int]:
                types = {name: cast(bytes, client.type(key)) for name, key in keys.items()}
                return {name: int(client.execute_command(COUNTS[types[name]], key)) for name, key in keys.items()}

            assert counted() == {"queued": 0, "running": 0}
            for number, priority in enumerate(Priority):
                records.create(f"{number:032x}", b"{}", priority=priority)
            assert counted() == {"queued": 3, "running": 0}
            first, second = (f"{number:032x}" for number in range(2))
            for job_id in (first, second):
                assert records.claim(job_id, job_id, "w:1") == 1
            records.finish(first, 1, JobState.SUCCEEDED)
            assert counted() == {"queued": 1, "running": 1}
    finally:
        records.close()
        server.stop()


def test_keda_asks_our_redis() -> None:
    """In whatever namespace the rest is: the address, the secret and the deployment that KEDA is told are ours."""
    resources = rendered("overlays/autoscaled")
    by_kind = {r["kind"]: r for r in resources}
    addresses = {trigger["metadata"]["address"] for trigger in by_kind["ScaledObject"]["spec"]["triggers"]}
    service = next(r for r in resources if r["kind"] == "Service" and r["metadata"]["name"] == "redis")
    assert addresses == {f"redis.{service['metadata']['namespace']}.svc:{service['spec']['ports'][0]['port']}"}
    target = by_kind["ScaledObject"]["spec"]["scaleTargetRef"]["name"]
    worker = next(r for r in resources if r["kind"] == "Deployment" and r["metadata"]["name"] == target)
    assert "replicas" not in worker["spec"]  # an apply would set back what KEDA has set
    assert by_kind["TriggerAuthentication"]["spec"]["secretTargetRef"][0]["key"] in SECRETS


def pods(resources: list[Resource]) -> dict[str, Any]:
    """Pod specifications by the name of what makes them."""
    return {
        r["metadata"]["name"]: r["spec"]["template"]["spec"]
        for r in resources
        if r["kind"] in ("Deployment", "StatefulSet")
    }


def _labels(resources: list[Resource]) -> dict[str, dict[str, str]]:
    return {
        r["metadata"]["name"]: r["spec"]["template"]["metadata"]["labels"]
        for r in resources
        if r["kind"] in ("Deployment", "StatefulSet")
    }


def test_what_requests_may_hold_fits_the_container() -> None:
    """By the default bounds, which the settings of the manifests leave alone."""
    (api,) = (found for found in files() if (found["kind"], found["metadata"]["name"]) == ("Deployment", "inphase-api"))
    (container,) = api["spec"]["template"]["spec"]["containers"]
    (made,) = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())["configMapGenerator"]
    settings = dict(literal.split("=", 1) for literal in made["literals"])
    assert needed_bytes(settings) <= in_bytes(container["resources"]["limits"]["memory"])


def test_apis_are_scaled_on_the_wait_before_the_networks() -> None:
    """The query asks for what is recorded, of a Prometheus that the overlay brings along."""
    scaler = next(r for r in files() if r["metadata"]["name"] == "inphase-api" and r["kind"] == "ScaledObject")["spec"]
    (trigger,) = scaler["triggers"]
    assert metrics_in(trigger["metadata"]["query"]) <= recorded()
    assert trigger["metricType"] == "Value"
    services = {r["metadata"]["name"]: r["spec"] for r in files() if r["kind"] == "Service"}
    host, _, port = trigger["metadata"]["serverAddress"].removeprefix("http://").partition(":")
    assert int(port) == services[host.partition(".")[0]]["ports"][0]["port"]
    overlay = yaml.safe_load((K8S / "overlays/autoscaled-api/kustomization.yaml").read_text())
    assert overlay["resources"] == ["../monitored"]
    assert {path.rpartition("/")[2] for path in overlay["components"]} == {"autoscaling", "latency"}
