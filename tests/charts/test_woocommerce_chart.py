"""What the chart of a WooCommerce store promises: isolation, restricted pods, a small footprint."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHARTS, STORE, WARM, Manifest, Render, is_of_a_test, named, pod_specs, pods

SALTS = {
    "auth-key",
    "secure-auth-key",
    "logged-in-key",
    "nonce-key",
    "auth-salt",
    "secure-auth-salt",
    "logged-in-salt",
    "nonce-salt",
}


@pytest.fixture(scope="module")
def everything(render: Render) -> list[Manifest]:
    """All that the chart renders, with the pod of `helm test`."""
    return render("woocommerce", {"store": STORE})


@pytest.fixture(scope="module")
def manifests(everything: list[Manifest]) -> list[Manifest]:
    """What an install applies."""
    return [m for m in everything if not is_of_a_test(m)]


def test_every_pod_fits_the_restricted_pod_security_level(everything: list[Manifest]) -> None:
    specs = dict(pods(everything))
    assert set(specs) == {"web", "database", "cron", "test"}
    for name, spec in specs.items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["serviceAccountName"] == "store"
        assert spec["enableServiceLinks"] is False
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_every_container_has_requests_limits_and_a_named_version(manifests: list[Manifest]) -> None:
    for spec in pod_specs(manifests).values():
        for container in spec["containers"]:
            for amounts in ("requests", "limits"):
                assert set(container["resources"][amounts]) == {"cpu", "memory"}
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert re.fullmatch(r"[a-z0-9./-]+:[A-Za-z0-9._-]+", container["image"])
            assert not container["image"].endswith(":latest")


def test_a_store_asks_for_250_mib_at_most(manifests: list[Manifest]) -> None:
    requests = [
        container["resources"]["requests"]["memory"]
        for spec in pod_specs(manifests).values()
        for container in spec["containers"]
    ]
    assert all(amount.endswith("Mi") for amount in requests)
    assert sum(int(amount.removesuffix("Mi")) for amount in requests) <= 250


def test_the_shop_takes_every_secret_by_name_and_none_is_written(manifests: list[Manifest]) -> None:
    (web,) = pod_specs(manifests)["web"]["containers"]
    taken = {v["valueFrom"]["secretKeyRef"]["key"] for v in web["env"] if "valueFrom" in v}
    others = {"database-password", "identity-token", "admin-user", "admin-email", "admin-password"}
    assert taken == SALTS | others
    (database,) = pod_specs(manifests)["database"]["containers"]
    assert [v["valueFrom"]["secretKeyRef"]["key"] for v in database["env"]] == ["database-password"]
    for variable in web["env"] + database["env"]:
        if "valueFrom" in variable:
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "store-secrets"
        else:
            assert not re.search("PASSWORD|SECRET|TOKEN|KEY|SALT|EMAIL", variable["name"])


def test_the_store_is_ready_when_its_internal_port_says_so(manifests: list[Manifest]) -> None:
    (container,) = pod_specs(manifests)["web"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "internal": 8081}
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/-/ready", "port": "internal"}
    assert container["startupProbe"]["periodSeconds"] == 1
    # A database that is away is no reason to restart the shop, which finds it again by itself.
    assert container["livenessProbe"]["httpGet"] == {"path": "/-/live", "port": "internal"}
    labels = named(manifests, "Deployment", "web")["spec"]["template"]["metadata"]["labels"]
    assert labels["urumi.dev/internal"] == "true"


def test_the_address_leads_to_the_public_port_and_never_to_the_internal_one(manifests: list[Manifest]) -> None:
    (rule,) = named(manifests, "Ingress", "store")["spec"]["rules"]
    assert rule["host"] == STORE["host"]
    assert rule["http"]["paths"] == [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"name": "http"}}}}
    ]
    assert named(manifests, "Service", "web")["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    internal = named(manifests, "Service", "internal")["spec"]
    assert internal["ports"] == [{"name": "internal", "port": 8081, "targetPort": "internal"}]


def test_a_waiting_store_has_no_ingress_and_starts_with_a_stand_in_address(render: Render) -> None:
    waiting = render("woocommerce", {"store": WARM})
    assert "Ingress" not in [manifest["kind"] for manifest in waiting]
    data = named(waiting, "ConfigMap", "identity")["data"]
    assert data == {"STORE_ID": STORE["id"], "STORE_NAME": "Store", "STORE_URL": "http://store.invalid"}


def test_a_merchant_who_takes_over_a_waiting_store_restarts_nothing(render: Render) -> None:
    def workloads(store: dict[str, str]) -> dict[str, Any]:
        kinds = ("Deployment", "StatefulSet", "CronJob")
        return {m["metadata"]["name"]: m["spec"] for m in render("woocommerce", {"store": store}) if m["kind"] in kinds}

    assert workloads(WARM) == workloads(STORE)


@pytest.mark.parametrize("ingress_class", ["nginx", "traefik"])
def test_the_ingress_class_and_its_namespace_are_the_platforms_choice(render: Render, ingress_class: str) -> None:
    ingress_values = {"className": ingress_class, "controllerNamespace": "edge"}
    manifests = render("woocommerce", {"store": STORE, "ingress": ingress_values})
    ingress = named(manifests, "Ingress", "store")
    assert ingress["spec"]["ingressClassName"] == ingress_class
    assert "annotations" not in ingress["metadata"]
    rule = named(manifests, "NetworkPolicy", "web")["spec"]["ingress"][0]
    assert rule == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}],
        "ports": [{"port": "http"}],
    }


def _components(peers: list[Manifest]) -> list[str]:
    return [peer["podSelector"]["matchLabels"].get("app.kubernetes.io/component", "") for peer in peers]


def test_the_database_hears_the_shop_only_and_sends_nothing(manifests: list[Manifest]) -> None:
    policy = named(manifests, "NetworkPolicy", "database")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    (rule,) = policy["ingress"]
    assert _components(rule["from"]) == ["web"]
    assert rule["ports"] == [{"port": "mysql"}]


def test_only_reconcile_and_the_cronjob_reach_the_internal_port(manifests: list[Manifest]) -> None:
    (rule,) = [
        rule
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"].get("ingress", [])
        if {"port": "internal"} in rule["ports"]
    ]
    own, platform = rule["from"]
    assert _components([own]) == ["cron"]
    assert "namespaceSelector" not in own
    assert platform == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "urumi-system"}},
        "podSelector": {"matchLabels": {"urumi.dev/component": "reconcile"}},
    }


def test_the_way_out_leads_to_the_internet_and_not_to_the_networks_inside(manifests: list[Manifest]) -> None:
    (rule,) = [
        rule
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"].get("egress", [])
        if any("ipBlock" in peer for peer in rule["to"])
    ]
    assert rule["ports"] == [{"port": 443}, {"port": 587}]
    blocks = {peer["ipBlock"]["cidr"]: set(peer["ipBlock"]["except"]) for peer in rule["to"]}
    private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"}
    assert private <= blocks["0.0.0.0/0"]
    assert {"fc00::/7", "fe80::/10"} <= blocks["::/0"]


def test_scheduled_work_never_overlaps_and_can_rest(render: Render, manifests: list[Manifest]) -> None:
    cron = named(manifests, "CronJob", "cron")["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["suspend"] is False
    assert cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 300
    asleep = named(render("woocommerce", {"store": STORE, "cron": {"suspend": True}}), "CronJob", "cron")["spec"]
    assert asleep == cron | {"suspend": True}


def test_stores_do_their_scheduled_work_in_different_minutes(render: Render) -> None:
    minutes = set()
    for digit in range(8):
        store = STORE | {"id": STORE["id"][:-1] + str(digit)}
        schedule = named(render("woocommerce", {"store": store}), "CronJob", "cron")["spec"]["schedule"]
        found = re.fullmatch(r"(\d)-59/10 \* \* \* \*", schedule)
        assert found, schedule
        minutes.add(found.group(1))
    assert len(minutes) > 4


def test_an_upgrade_of_the_chart_or_a_new_owner_touches_no_immutable_field(render: Render) -> None:
    before = named(render("woocommerce", {"store": STORE}), "StatefulSet", "database")["spec"]
    other = render("woocommerce", {"store": STORE | {"owner": "other"}}, "values-prod.yaml")
    after = named(other, "StatefulSet", "database")["spec"]
    for spec in (before, after):
        text = yaml.safe_dump([spec["selector"], spec["volumeClaimTemplates"], spec["template"]["metadata"]])
        assert "version" not in text
        assert "helm.sh/chart" not in text
        assert "owner" not in text
    assert before["selector"] == after["selector"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"store": STORE | {"host": "Shop Example"}}, "/store/host"),
        ({"store": STORE | {"url": "shop.example.test"}}, "/store/url"),
        ({"store": STORE | {"password": "x"}}, "/store"),
        ({"store": STORE, "persistence": {"database": {"size": "big"}}}, "/persistence/database/size"),
        ({"store": STORE, "images": {"web": {"tag": ""}}}, "/images/web/tag"),
        ({"store": STORE, "cron": {"everyMinutes": 7}}, "/cron/everyMinutes"),
        ({"store": STORE, "replicas": 3}, "replicas"),
    ],
)
def test_a_value_that_is_wrong_or_unknown_is_refused_by_its_name(render: Render, values: Manifest, field: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        render("woocommerce", values)
    assert field in refusal.value.stderr


def test_the_databases_start_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(CHARTS / "woocommerce" / "files" / "database.sh")], check=True)
