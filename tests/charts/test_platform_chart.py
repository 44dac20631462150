"""What the platform's chart promises: few rights, secrets drawn once, a Job that upgrades, certificates by choice."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHARTS, Manifest, Render, is_of_a_test, named, pod_specs

SIGN_IN = {"issuer": "https://accounts.example.com", "audience": "urumi"}
PEOPLE = {"dashboard": {"signInSecret": "s"}, "functions": {"signIn": SIGN_IN}}
TLS = {"enabled": True, "email": "operator@example.com"}
RECONCILE = "system:serviceaccount:store-test:urumi-reconcile"


@pytest.fixture(scope="module")
def local(render: Render) -> list[Manifest]:
    return render("platform", {}, "values-local.yaml")


@pytest.fixture(scope="module")
def prod(render: Render) -> list[Manifest]:
    return render("platform", {}, "values-prod.yaml")


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def rules(manifests: list[Manifest], role: str) -> Iterator[tuple[str, str]]:
    """(group/resource, verb) of a ClusterRole; a named resource is written resource:name."""
    for rule in named(manifests, "ClusterRole", role)["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield f"{group}/{resource}" + (f":{name}" if name else ""), verb


def test_no_object_of_an_install_is_a_hook_so_helm_waits_for_nothing(
    local: list[Manifest], prod: list[Manifest]
) -> None:
    for manifest in local + prod:
        if not is_of_a_test(manifest):
            assert "helm.sh/hook" not in manifest["metadata"].get("annotations", {})


def test_every_pod_fits_the_restricted_pod_security_level(local: list[Manifest], prod: list[Manifest]) -> None:
    for name, spec in (pod_specs(local) | pod_specs(prod)).items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_secrets_stay_when_the_release_goes_and_no_pod_spec_holds_one(local: list[Manifest]) -> None:
    secrets = of_kind(local, "Secret")
    assert {each["metadata"]["name"] for each in secrets} == {
        "urumi-database",
        "urumi-credentials-key",
        "urumi-first-token",
    }
    values = [value for each in secrets for value in each["data"].values()]
    for each in secrets:
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    text = json.dumps([each for each in local if each["kind"] != "Secret"])
    for value in values:
        assert value not in text


def test_two_renderings_draw_different_secrets(render: Render, local: list[Manifest]) -> None:
    again = render("platform", {}, "values-local.yaml")
    for name in ("urumi-database", "urumi-credentials-key", "urumi-first-token"):
        assert named(again, "Secret", name)["data"] != named(local, "Secret", name)["data"]


def test_a_given_database_and_key_replace_those_of_the_chart(render: Render) -> None:
    given = render(
        "platform",
        {
            "database": {"existingSecret": "mine", "existingNetworks": ["10.1.0.0/16"]},
            "secrets": {"credentialsKey": "my-key", "firstToken": ""},
            "dashboard": {"signInSecret": "sign-in"},
            "functions": {"signIn": SIGN_IN},
        },
    )
    assert of_kind(given, "Secret") == []
    assert of_kind(given, "StatefulSet") == []
    opening = named(given, "NetworkPolicy", "to-database")["spec"]["egress"]
    assert opening == [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 5432}]}]
    migrate = next(iter(of_kind(given, "Job")))["spec"]["template"]["spec"]["containers"][0]
    secrets = [
        e["valueFrom"]["secretKeyRef"]["name"] for e in migrate["env"] if "secretKeyRef" in e.get("valueFrom", {})
    ]
    assert set(secrets) == {"mine"}


def test_a_database_elsewhere_must_say_where(render: Render) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render("platform", {"database": {"existingSecret": "mine"}})
    assert "existingNetworks" in refused.value.stderr


def test_the_migrations_job_has_a_new_name_whenever_its_content_changes(render: Render) -> None:
    def job(**values: Any) -> str:
        name: str = of_kind(render("platform", values), "Job")[0]["metadata"]["name"]
        return name

    assert job() == job()
    assert len({job(), job(images={"tag": "0.2.0"}), job(migrations={"digest": "abc"})}) == 3


# --- rights -------------------------------------------------------------------------------------------------------


def test_only_reconcile_and_the_watch_get_a_token(local: list[Manifest]) -> None:
    accounts = {a["metadata"]["name"]: a["automountServiceAccountToken"] for a in of_kind(local, "ServiceAccount")}
    assert accounts == {
        "urumi-create": False,
        "urumi-delete": False,
        "urumi-status": False,
        "urumi-sweep": False,
        "urumi-reconcile": True,
        "urumi-events": True,
    }
    bound = {s["name"] for b in of_kind(local, "ClusterRoleBinding") for s in b["subjects"]}
    assert bound == {"urumi-reconcile", "urumi-events"}
    assert of_kind(local, "RoleBinding") == []


def test_reconcile_sees_no_secret_beyond_the_stores_and_writes_namespaces_only(local: list[Manifest]) -> None:
    rights = set(rules(local, "urumi-reconcile"))
    assert not {what for what, _ in rights} & {
        "/secrets",
        "/configmaps",
        "/serviceaccounts",
        "/nodes/proxy",
        "/pods/exec",
    }
    writes = {(what, verb) for what, verb in rights if verb not in ("get", "list", "watch")}
    assert writes == {
        ("/namespaces", "create"),
        ("/namespaces", "patch"),
        ("/namespaces", "delete"),
        ("rbac.authorization.k8s.io/rolebindings", "create"),
        ("rbac.authorization.k8s.io/rolebindings", "patch"),
        ("rbac.authorization.k8s.io/clusterroles:urumi-store", "bind"),
    }


def test_no_role_has_a_wildcard_or_a_way_up(local: list[Manifest]) -> None:
    for role in of_kind(local, "ClusterRole"):
        rights = set(rules(local, role["metadata"]["name"]))
        assert not {verb for _, verb in rights} & {"*", "escalate", "impersonate", "deletecollection"}
        assert not {what for what, _ in rights} & {"*/*", "/serviceaccounts/token", "/pods/exec", "/nodes/proxy"}


def test_the_stores_role_covers_every_kind_that_the_engines_charts_make(local: list[Manifest], render: Render) -> None:
    role = set(rules(local, "urumi-store"))
    store = {
        "id": "0190a1b2-3c4d-4e5f-8a6b-7c8d9e0f1a2b", "name": "shop", "host": "shop.localhost",
        "url": "http://shop.localhost", "owner": "alice",
    }  # fmt: skip
    made = {
        (manifest["apiVersion"].rpartition("/")[0], manifest["kind"].lower())
        for engine in ("woocommerce", "medusa")
        for manifest in render(engine, {"store": store})
        if "helm.sh/hook" not in manifest["metadata"].get("annotations", {})
    }
    for group, kind in made | {("", "secret"), ("", "resourcequota"), ("", "limitrange")}:
        plural = kind[:-1] + "ies" if kind.endswith("y") else kind + ("es" if kind.endswith("s") else "s")
        for verb in ("get", "list", "create", "update", "patch", "delete"):
            assert (f"{group}/{plural}", verb) in role, f"{verb} {group}/{plural}"


def test_the_watch_sees_certificates_where_each_host_has_one(local: list[Manifest], prod: list[Manifest]) -> None:
    certificates = {("cert-manager.io/certificates", verb) for verb in ("get", "list", "watch")}
    assert certificates == set(rules(prod, "urumi-events")) - set(rules(local, "urumi-events"))


def test_admission_fences_reconcile_and_nobody_else(local: list[Manifest]) -> None:
    policies = of_kind(local, "ValidatingAdmissionPolicy")
    assert {p["metadata"]["name"] for p in policies} == {"urumi-namespaces", "urumi-rolebindings", "urumi-stores-only"}
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
        (condition,) = policy["spec"]["matchConditions"]
        assert condition["expression"] == f'request.userInfo.username == "{RECONCILE}"'
    for binding in of_kind(local, "ValidatingAdmissionPolicyBinding"):
        assert binding["spec"]["validationActions"] == ["Deny"]


def test_admission_knows_this_platforms_stores_by_the_id_that_migrations_write(local: list[Manifest]) -> None:
    platform = named(local, "ConfigMap", "urumi-platform")
    assert platform["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for policy in of_kind(local, "ValidatingAdmissionPolicy"):
        fences = [v["expression"] for v in policy["spec"]["validations"] if "urumi.dev/platform" in v["expression"]]
        assert fences, policy["metadata"]["name"]
        for fence in fences:
            assert platform["data"]["id"] in fence
    (job,) = of_kind(local, "Job")
    variables = {each["name"]: each for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables["URUMI_PLATFORM_ID"]["valueFrom"]["configMapKeyRef"] == {"name": "urumi-platform", "key": "id"}


# --- network ------------------------------------------------------------------------------------------------------


def test_nothing_talks_unless_a_policy_says_so(local: list[Manifest]) -> None:
    deny = named(local, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in of_kind(local, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], f"{policy['metadata']['name']} lets everybody in"


def test_functions_take_requests_from_knative_alone(local: list[Manifest]) -> None:
    spec = named(local, "NetworkPolicy", "functions")["spec"]
    assert spec["podSelector"]["matchExpressions"][0]["values"] == ["create", "delete", "reconcile", "status"]
    peers = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in spec["ingress"]
        for peer in rule["from"]
    ]
    assert set(peers) == {"ingress", "knative-serving"}


def test_only_reconcile_reaches_the_stores_and_only_the_watch_kubernetes_too(local: list[Manifest]) -> None:
    for name, parts in (("to-stores", ["reconcile"]), ("to-kubernetes", ["reconcile", "watch"])):
        selector = named(local, "NetworkPolicy", name)["spec"]["podSelector"]
        assert selector["matchExpressions"][0]["values"] == parts


def test_postgres_takes_connections_from_its_clients_alone(local: list[Manifest]) -> None:
    (rule,) = named(local, "NetworkPolicy", "postgres")["spec"]["ingress"]
    assert all(set(peer) == {"podSelector"} for peer in rule["from"])


# --- addresses and certificates -----------------------------------------------------------------------------------


def test_a_browser_stays_with_one_dashboard(prod: list[Manifest]) -> None:
    assert named(prod, "Deployment", "dashboard")["spec"]["replicas"] == 2
    service = named(prod, "Service", "dashboard")
    assert service["spec"]["sessionAffinity"] == "ClientIP"
    assert service["metadata"]["annotations"]["traefik.ingress.kubernetes.io/service.sticky.cookie"] == "true"
    ingress = named(prod, "Ingress", "dashboard")["metadata"]["annotations"]
    assert ingress["nginx.ingress.kubernetes.io/affinity"] == "cookie"
    assert not [key for key in ingress if "rewrite" in key]
    assert named(prod, "PodDisruptionBudget", "dashboard")["spec"]["maxUnavailable"] == 1


def test_without_tls_nothing_of_cert_manager_is_there(local: list[Manifest]) -> None:
    assert not [m for m in local if m["apiVersion"].startswith("cert-manager.io")]
    assert "tls" not in named(local, "Ingress", "dashboard")["spec"]


def test_certificates_per_host_are_proved_by_http(prod: list[Manifest]) -> None:
    (issuer,) = of_kind(prod, "ClusterIssuer")
    (solver,) = issuer["spec"]["acme"]["solvers"]
    assert solver["http01"]["ingress"] == {"ingressClassName": "traefik", "serviceType": "ClusterIP"}
    assert "caBundle" not in issuer["spec"]["acme"]
    ingress = named(prod, "Ingress", "dashboard")
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "urumi"
    assert [tls["hosts"] for tls in ingress["spec"]["tls"]] == [["app.example.com"], ["api.example.com"]]
    assert named(prod, "ConfigMap", "urumi-settings")["data"]["URUMI_TLS_ISSUER"] == "urumi"


def test_the_ingress_controller_reaches_the_pods_that_prove_a_host_and_only_with_certificates_per_host(
    local: list[Manifest], prod: list[Manifest]
) -> None:
    spec = named(prod, "NetworkPolicy", "acme")["spec"]
    assert spec["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    (rule,) = spec["ingress"]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]] == [
        {"kubernetes.io/metadata.name": "kube-system"}
    ]
    assert rule["ports"] == [{"port": 8089}]
    assert "acme" not in [each["metadata"]["name"] for each in of_kind(local, "NetworkPolicy")]


def test_in_production_no_ingress_answers_plain_http_on_traefik(prod: list[Manifest]) -> None:
    annotation = {"traefik.ingress.kubernetes.io/router.entrypoints": "websecure"}
    assert annotation.items() <= named(prod, "Ingress", "dashboard")["metadata"]["annotations"].items()
    settings = named(prod, "ConfigMap", "urumi-settings")["data"]
    assert json.loads(settings["URUMI_INGRESS_ANNOTATIONS"]) == annotation, "nor do stores"


def test_authorities_of_ones_own_are_trusted_by_functions_dashboard_and_issuer(
    render: Render, local: list[Manifest]
) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nmade up\n-----END CERTIFICATE-----\n"
    private = render("platform", {"authorities": pem}, "values-prod.yaml")
    assert named(private, "ConfigMap", "urumi-authorities")["data"] == {"ca.crt": pem}
    (issuer,) = of_kind(private, "ClusterIssuer")
    assert base64.b64decode(issuer["spec"]["acme"]["caBundle"]).decode() == pem
    (dashboard,) = pod_specs(private)["dashboard"]["containers"]
    variables = {each["name"]: each.get("value") for each in dashboard["env"]}
    assert variables["SSL_CERT_FILE"] == named(private, "ConfigMap", "urumi-settings")["data"]["SSL_CERT_FILE"]
    assert str(Path(variables["SSL_CERT_FILE"]).parent) in [mount["mountPath"] for mount in dashboard["volumeMounts"]]
    assert "SSL_CERT_FILE" not in named(local, "ConfigMap", "urumi-settings")["data"]


def test_a_sign_in_provider_behind_the_clusters_own_ingress_is_reached(
    local: list[Manifest], prod: list[Manifest]
) -> None:
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    for name in ("to-issuer", "dashboard"):
        opened = [peer for rule in named(prod, "NetworkPolicy", name)["spec"]["egress"] for peer in rule.get("to", [])]
        assert controller in opened, name
    assert "to-issuer" not in [each["metadata"]["name"] for each in of_kind(local, "NetworkPolicy")]


def test_one_wildcard_certificate_is_proved_by_dns(render: Render) -> None:
    dns = {"cloudflare": {"apiTokenSecretRef": {"name": "dns", "key": "token"}}}
    wildcard = render("platform", {"tls": {"certificates": "wildcard", "dns01": dns}}, "values-prod.yaml")
    (issuer,) = of_kind(wildcard, "ClusterIssuer")
    assert issuer["spec"]["acme"]["solvers"] == [{"dns01": dns}]
    (certificate,) = of_kind(wildcard, "Certificate")
    assert certificate["spec"]["dnsNames"] == ["example.com", "*.example.com"]
    (store,) = of_kind(wildcard, "TLSStore")
    assert store["spec"]["defaultCertificate"] == {"secretName": certificate["spec"]["secretName"]}
    assert "URUMI_TLS_ISSUER" not in named(wildcard, "ConfigMap", "urumi-settings")["data"]


def test_an_issuer_that_exists_is_used(render: Render) -> None:
    given = render("platform", {"tls": {"issuer": "pebble"}}, "values-prod.yaml")
    assert of_kind(given, "ClusterIssuer") == []
    assert named(given, "ConfigMap", "urumi-settings")["data"]["URUMI_TLS_ISSUER"] == "pebble"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls": {"enabled": True}} | PEOPLE, "tls.email"),
        ({"tls": TLS | {"certificates": "wildcard"}} | PEOPLE, "tls.dns01"),
        ({"dashboard": {"signInSecret": "s"}}, "functions.signIn.issuer"),
        ({"functions": {"signIn": {"issuer": "https://accounts.example.com"}}}, "functions.signIn.audience"),
        ({"functions": {"signIn": {"issuer": "http://accounts.example.com"}}}, "issuer"),
        ({"authorities": "/etc/ssl/my.crt"}, "authorities"),
        ({"tls": TLS}, "dashboard.signInSecret"),
        ({"secrets": {"firstToken": ""}}, "way in"),
        ({"nonsense": True}, "nonsense"),
        ({"functions": {"cluster": "imaginary"}}, "cluster"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(render: Render, values: Manifest, words: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render("platform", values)
    assert words in refused.value.stderr


def test_the_dashboard_signs_people_in_where_others_reach_it(local: list[Manifest], prod: list[Manifest]) -> None:
    def variables(manifests: list[Manifest]) -> set[str]:
        return {each["name"] for each in pod_specs(manifests)["dashboard"]["containers"][0]["env"]}

    functions = {f"URUMI_{name}_URL" for name in ("CREATE", "DELETE", "STATUS")}
    assert variables(local) == {"RES_OPTIONS", "URUMI_TOKEN", *functions}
    assert variables(prod) == {"RES_OPTIONS", *functions}
    mounts = pod_specs(prod)["dashboard"]["containers"][0]["volumeMounts"]
    assert "/app/.streamlit/secrets.toml" in [mount["mountPath"] for mount in mounts]


def test_the_functions_settings_are_ones_that_they_read(local: list[Manifest], prod: list[Manifest]) -> None:
    from stores.settings import Settings

    known = {f"URUMI_{name.upper()}" for name in Settings.model_fields} | {"RES_OPTIONS", "SSL_CERT_FILE"}
    for manifests in (local, prod):
        data = named(manifests, "ConfigMap", "urumi-settings")["data"]
        assert set(data) <= known
        Settings.model_validate(
            {
                key.removeprefix("URUMI_").lower(): json.loads(value) if value[:1] in ("{", "[") else value
                for key, value in data.items()
                if key.startswith("URUMI_")
            }
        )


# --- watching, documenting ----------------------------------------------------------------------------------------


def test_alerts_and_graphs_ask_for_metrics_that_status_gives(prod: list[Manifest]) -> None:
    source = (CHARTS.parent / "functions" / "stores" / "metrics.py").read_text()
    given = set(re.findall(r'MetricFamily\(\s*"([a-z_]+)"', source))
    expressions = [r["expr"] for g in of_kind(prod, "PrometheusRule")[0]["spec"]["groups"] for r in g["rules"]]
    dashboard = json.loads(named(prod, "ConfigMap", "urumi-grafana")["data"]["urumi.json"])
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for name in re.findall(r"\b(?:stores|urumi|provisioning|store_creation)_[a-z_]+", " ".join(expressions)):
        assert name.removesuffix("_bucket") in given, name


def test_every_value_has_a_sentence_above_it() -> None:
    lines = (CHARTS / "platform" / "values.yaml").read_text().splitlines()
    inner = ("requests:", "limits:")
    for above, line in itertools.pairwise(lines):
        if re.match(r" *[A-Za-z0-9]+:", line) and not line.strip().startswith(inner):
            assert above.strip().startswith("#"), line


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHARTS / "platform" / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTS / "platform" / "values.yaml").read_text())

    def compare(known: Manifest, given: Manifest) -> None:
        assert known["additionalProperties"] is False
        assert set(given) <= set(known["properties"])
        for key, value in given.items():
            if isinstance(value, dict) and "properties" in known["properties"][key]:
                compare(known["properties"][key], value)

    compare(schema, values)
