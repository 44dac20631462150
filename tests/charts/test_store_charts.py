"""What the chart of a store promises whatever its engine: whose it is, data that stays, certificates for its host."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.charts.conftest import CHARTS, STORE, WARM, Manifest, Render, is_of_a_test, named


@pytest.fixture(scope="module", params=["medusa", "woocommerce"])
def chart(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def manifests(render: Render, chart: str) -> list[Manifest]:
    """What an install applies."""
    return [m for m in render(chart, {"store": STORE}) if not is_of_a_test(m)]


def test_every_object_says_whose_it_is(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["urumi.dev/store"] == STORE["id"], manifest["metadata"]["name"]
        assert labels["urumi.dev/owner"] == STORE["owner"]
        assert labels["app.kubernetes.io/part-of"] == "urumi"
        assert {
            f"app.kubernetes.io/{key}" for key in ("name", "instance", "version", "component", "managed-by")
        } <= set(labels)


def test_an_install_has_no_hooks_and_makes_no_job_secret_or_quota(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        assert "helm.sh/hook" not in manifest["metadata"].get("annotations", {})
        assert manifest["kind"] not in ("Secret", "Namespace", "ResourceQuota", "LimitRange", "Job")


@pytest.mark.parametrize(
    ("tls", "secret", "issuer"),
    [
        ({"enabled": True, "clusterIssuer": "letsencrypt"}, "store-tls", "letsencrypt"),
        ({"enabled": True, "secretName": "wildcard"}, "wildcard", None),
    ],
)
def test_tls_takes_its_certificate_from_an_issuer_or_a_secret(
    render: Render, chart: str, tls: dict[str, Any], secret: str, issuer: str | None
) -> None:
    ingress = named(render(chart, {"store": STORE, "ingress": {"tls": tls}}), "Ingress", "store")
    assert ingress["spec"]["tls"] == [{"hosts": [STORE["host"]], "secretName": secret}]
    assert ingress["metadata"].get("annotations", {}).get("cert-manager.io/cluster-issuer") == issuer


@pytest.mark.parametrize("store", [STORE, WARM])
def test_the_ingress_controller_reaches_the_pod_that_proves_the_host_also_of_a_store_to_come(
    render: Render, chart: str, store: Manifest
) -> None:
    tls = {"enabled": True, "clusterIssuer": "letsencrypt"}
    policy = named(render(chart, {"store": store, "ingress": {"tls": tls}}), "NetworkPolicy", "acme")["spec"]
    assert policy["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    (rule,) = policy["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    assert rule["ports"] == [{"port": 8089}]


@pytest.mark.parametrize("tls", [{"enabled": False}, {"enabled": True, "secretName": "wildcard"}])
def test_where_nobody_proves_a_host_nothing_is_open_for_it(render: Render, chart: str, tls: Manifest) -> None:
    manifests = render(chart, {"store": STORE, "ingress": {"tls": tls}})
    assert "acme" not in [m["metadata"]["name"] for m in manifests if m["kind"] == "NetworkPolicy"]


def test_data_outlives_the_release(manifests: list[Manifest]) -> None:
    uploads = named(manifests, "PersistentVolumeClaim", "uploads")
    assert uploads["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    database = named(manifests, "StatefulSet", "database")["spec"]
    assert [claim["metadata"]["name"] for claim in database["volumeClaimTemplates"]] == ["data"]
    assert "persistentVolumeClaimRetentionPolicy" not in database


def test_every_key_of_the_values_has_a_sentence_above_it(chart: str) -> None:
    lines = (CHARTS / chart / "values.yaml").read_text(encoding="utf-8").splitlines()
    inside = re.compile(r"^ *(requests|limits|reconcileLabels|urumi\.dev/component):")
    for above, line in zip(["", *lines], lines, strict=False):
        if re.match(r"^ *[A-Za-z./]+:", line) and not inside.match(line):
            assert above.strip().startswith("#"), line
