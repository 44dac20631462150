"""What the chart of a Medusa store promises: isolation, restricted pods, one address, few ways between its parts."""

from __future__ import annotations

import copy
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.charts.conftest import STORE, WARM, Manifest, Render, is_of_a_test, named, pod_specs, pods


@pytest.fixture(scope="module")
def everything(render: Render) -> list[Manifest]:
    """All that the chart renders, with what `helm test` applies."""
    return render("medusa", {"store": STORE})


@pytest.fixture(scope="module")
def manifests(everything: list[Manifest]) -> list[Manifest]:
    """What an install applies."""
    return [m for m in everything if not is_of_a_test(m)]


def test_every_pod_fits_the_restricted_pod_security_level(everything: list[Manifest]) -> None:
    specs = dict(pods(everything))
    assert set(specs) == {"backend", "web", "database", "cache", "test"}
    for name, spec in specs.items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["serviceAccountName"] == "store"
        assert spec["enableServiceLinks"] is False
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 999
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_every_container_has_requests_limits_and_a_pinned_image(manifests: list[Manifest]) -> None:
    for spec in pod_specs(manifests).values():
        for container in spec["containers"]:
            for amounts in ("requests", "limits"):
                assert set(container["resources"][amounts]) == {"cpu", "memory"}
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert re.fullmatch(r"[a-z0-9./-]+:[A-Za-z0-9._-]+", container["image"])
            assert not container["image"].endswith(":latest")


def test_a_store_asks_for_550_mib_at_most(manifests: list[Manifest]) -> None:
    requests = [
        container["resources"]["requests"]["memory"]
        for spec in pod_specs(manifests).values()
        for container in spec["containers"]
    ]
    assert all(amount.endswith("Mi") for amount in requests)
    assert sum(int(amount.removesuffix("Mi")) for amount in requests) <= 550


def test_secrets_are_named_and_never_written(manifests: list[Manifest]) -> None:
    for spec in pod_specs(manifests).values():
        for container in spec["containers"]:
            for variable in container.get("env", []):
                if re.search("PASSWORD|SECRET|TOKEN|KEY|EMAIL", variable["name"]):
                    assert variable["valueFrom"]["secretKeyRef"]["name"] == "store-secrets", variable["name"]


def test_the_store_is_ready_when_its_internal_port_says_so(manifests: list[Manifest]) -> None:
    (container,) = pod_specs(manifests)["backend"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "internal": 8081}
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/-/ready", "port": "internal"}
    assert container["startupProbe"]["periodSeconds"] == 1
    # Postgres away is no reason to restart Medusa, which finds it again by itself.
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    labels = named(manifests, "Deployment", "backend")["spec"]["template"]["metadata"]["labels"]
    assert labels["urumi.dev/internal"] == "true"


def test_the_internal_port_is_never_behind_the_ingress(manifests: list[Manifest]) -> None:
    rules = named(manifests, "Ingress", "store")["spec"]["rules"]
    for path in rules[0]["http"]["paths"]:
        assert path["backend"]["service"]["port"] == {"name": "http"}
        assert not path["path"].startswith("/-")
    internal = named(manifests, "Service", "internal")["spec"]
    assert internal["ports"] == [{"name": "internal", "port": 8081, "targetPort": "internal"}]


def test_storefront_and_backend_share_one_host(manifests: list[Manifest]) -> None:
    (rule,) = named(manifests, "Ingress", "store")["spec"]["rules"]
    assert rule["host"] == STORE["host"]
    assert {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {
        **dict.fromkeys(("/app", "/admin", "/auth", "/store", "/static", "/hooks"), "backend"),
        "/": "web",
    }


def test_a_waiting_store_has_no_ingress(render: Render) -> None:
    assert "Ingress" not in [manifest["kind"] for manifest in render("medusa", {"store": WARM})]


def test_a_merchant_who_takes_over_a_waiting_store_restarts_nothing(render: Render) -> None:
    def workloads(store: dict[str, str]) -> dict[str, Any]:
        kinds = ("Deployment", "StatefulSet")
        return {m["metadata"]["name"]: m["spec"] for m in render("medusa", {"store": store}) if m["kind"] in kinds}

    assert workloads(WARM) == workloads(STORE)


def test_the_ingress_class_and_its_namespace_are_the_platforms_choice(render: Render) -> None:
    manifests = render("medusa", {"store": STORE, "ingress": {"className": "nginx", "controllerNamespace": "edge"}})
    ingress = named(manifests, "Ingress", "store")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert "annotations" not in ingress["metadata"]
    for name in ("web", "backend"):
        peers = named(manifests, "NetworkPolicy", name)["spec"]["ingress"][0]["from"]
        assert peers[0] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}


def test_database_and_cache_hear_the_backend_only_and_send_nothing(manifests: list[Manifest]) -> None:
    for name, port in (("database", "postgres"), ("cache", "valkey")):
        policy = named(manifests, "NetworkPolicy", name)["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert "egress" not in policy
        (rule,) = policy["ingress"]
        assert [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["from"]] == [
            "backend"
        ]
        assert rule["ports"] == [{"port": port}]


def test_only_reconcile_and_the_pod_of_helm_test_reach_the_internal_port(manifests: list[Manifest]) -> None:
    (rule,) = [
        rule
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"].get("ingress", [])
        if {"port": "internal"} in rule["ports"]
    ]
    own, platform = rule["from"]
    assert own["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert "namespaceSelector" not in own
    assert platform == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "urumi-system"}},
        "podSelector": {"matchLabels": {"urumi.dev/component": "reconcile"}},
    }


def test_the_way_out_leads_to_the_internet_and_not_to_the_networks_inside(manifests: list[Manifest]) -> None:
    outward = [
        rule
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"].get("egress", [])
        if any("ipBlock" in peer for peer in rule["to"])
    ]
    (rule,) = outward
    assert rule["ports"] == [{"port": 443}, {"port": 587}]
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in rule["to"]}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"} <= set(
        blocks["0.0.0.0/0"]
    )
    assert {"fc00::/7", "fe80::/10"} <= set(blocks["::/0"])


def test_an_upgrade_of_the_chart_or_a_new_owner_touches_no_immutable_field(render: Render) -> None:
    before = named(render("medusa", {"store": STORE}), "StatefulSet", "database")["spec"]
    after = named(
        render("medusa", {"store": STORE | {"owner": "other"}}, "values-prod.yaml"), "StatefulSet", "database"
    )["spec"]
    for spec in (before, after):
        text = yaml.safe_dump([spec["selector"], spec["volumeClaimTemplates"], spec["template"]["metadata"]])
        assert "version" not in text
        assert "helm.sh/chart" not in text
        assert "owner" not in text
    assert before["selector"] == after["selector"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"store": {"host": "Shop Example"}}, "/store/host"),
        ({"store": {"url": "shop.example.test"}}, "/store/url"),
        ({"store": {"password": "x"}}, "/store"),
        ({"persistence": {"database": {"size": "big"}}}, "/persistence/database/size"),
        ({"images": {"backend": {"tag": ""}}}, "/images/backend/tag"),
        ({"replicas": 3}, "replicas"),
    ],
)
def test_a_value_that_is_wrong_or_unknown_is_refused_by_its_name(render: Render, values: Manifest, field: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        render("medusa", {"store": copy.deepcopy(STORE)} | values)
    assert field in refusal.value.stderr
