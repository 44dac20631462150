"""What knative/ promises: four small functions that sleep, events that are tried again and never lost out of sight."""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stores import dead_letters, events, helm, watch
from stores.settings import Settings

ROOT = Path(__file__).parents[2]
OVERLAYS = ("local", "prod", "k3s", "ping")
FUNCTIONS = {
    "create": "create_store",
    "delete": "delete_store",
    "reconcile": "reconcile_stores",
    "status": "store_status",
}
Object = dict[str, Any]


@pytest.fixture(scope="module")
def overlays() -> dict[str, list[Object]]:
    """Each overlay as `kubectl apply -k` would send it."""
    found = {}
    for name in OVERLAYS:
        command = [helm.binary("kubectl"), "kustomize", str(ROOT / "knative" / "overlays" / name)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[name] = [document for document in yaml.safe_load_all(text) if document]
    return found


@pytest.fixture(scope="module")
def base(overlays: dict[str, list[Object]]) -> list[Object]:
    return overlays["local"]


@pytest.fixture(scope="module")
def deploy() -> ModuleType:
    """knative/deploy.py, which is a program and no part of a package."""
    spec = importlib.util.spec_from_file_location("deploy", ROOT / "knative" / "deploy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["deploy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def chart() -> list[Object]:
    """The platform's chart, whose accounts, settings and secrets the functions name."""
    command = [helm.binary("helm"), "template", "urumi", str(ROOT / "charts" / "platform"), "-n", "urumi-system"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def functions(objects: list[Object]) -> dict[str, Object]:
    return {name: each["spec"]["template"] for name, each in of_kind(objects, "Service").items()}


def environment(template: Object) -> dict[str, Any]:
    (container,) = template["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


# --- functions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_has_the_four_functions_in_one_namespace(overlays: dict[str, list[Object]], overlay: str) -> None:
    assert set(functions(overlays[overlay])) == set(FUNCTIONS)
    for each in overlays[overlay]:
        at_the_gateway = each["kind"] in ("ReferenceGrant", "IngressRoute", "Middleware")
        assert at_the_gateway or each["metadata"]["namespace"] == "urumi-system"


def test_one_image_runs_a_different_function_in_each(base: list[Object]) -> None:
    images = {template["spec"]["containers"][0]["image"] for template in functions(base).values()}
    assert images == {"dev.local/urumi-functions:0.1.0"}
    for name, template in functions(base).items():
        variables = environment(template)
        assert variables["FUNCTION_SOURCE"] == f"functions/{name}/main.py"
        assert variables["FUNCTION_TARGET"] == FUNCTIONS[name]
        assert f"def {FUNCTIONS[name]}(" in (ROOT / variables["FUNCTION_SOURCE"]).read_text()


def test_each_runs_as_an_account_of_its_own_that_the_chart_makes(base: list[Object], chart: list[Object]) -> None:
    for name, template in functions(base).items():
        assert template["spec"]["serviceAccountName"] == f"urumi-{name}"
        assert f"urumi-{name}" in of_kind(chart, "ServiceAccount")
        if name != "reconcile":
            assert template["spec"]["automountServiceAccountToken"] is False


def test_each_has_as_many_threads_as_knative_lets_requests_in(base: list[Object]) -> None:
    for template in functions(base).values():
        assert environment(template)["THREADS"] == str(template["spec"]["containerConcurrency"])


def test_each_sleeps_and_wakes_by_itself(base: list[Object]) -> None:
    for template in functions(base).values():
        annotations = template["metadata"]["annotations"]
        assert annotations["autoscaling.knative.dev/min-scale"] == "0"
        assert int(annotations["autoscaling.knative.dev/max-scale"]) >= 1
        assert annotations["autoscaling.knative.dev/scale-down-delay"] in ("1m", "10s")


def test_reconcile_is_asleep_before_the_next_sweep(base: list[Object]) -> None:
    annotations = functions(base)["reconcile"]["metadata"]["annotations"]
    seconds = [annotations[f"autoscaling.knative.dev/{name}"] for name in ("window", "scale-down-delay")]
    assert sum(int(each.removesuffix("s")) for each in seconds) <= 30


def test_time_outs_leave_room_for_what_a_function_does(base: list[Object]) -> None:
    for name, template in functions(base).items():
        seconds = template["spec"]["timeoutSeconds"]
        assert template["spec"]["responseStartTimeoutSeconds"] == seconds
        assert seconds <= 300  # Knative's default limit for both
        if name == "reconcile":
            # One call starts nothing after its budget, and what it started last ends by helm's own time-out or before.
            assert seconds > Settings.model_fields["budget"].default


def test_every_pod_fits_the_restricted_pod_security_level(base: list[Object]) -> None:
    sweep = of_kind(base, "CronJob")["sweep"]["spec"]["jobTemplate"]["spec"]["template"]
    watching = of_kind(base, "Deployment")["watch"]["spec"]["template"]
    for name, template in (functions(base) | {"sweep": sweep, "watch": watching}).items():
        (container,) = template["spec"]["containers"]
        security = container["securityContext"] | template["spec"].get("securityContext", {})
        assert security == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        assert template["spec"]["enableServiceLinks"] is False
        assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert container["imagePullPolicy"] == "IfNotPresent"


def test_tmp_is_the_only_place_that_can_be_written(base: list[Object]) -> None:
    for template in functions(base).values():
        (container,) = template["spec"]["containers"]
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/tmp"]  # noqa: S108
        assert template["spec"]["volumes"][0]["emptyDir"]["sizeLimit"]
        assert environment(template)["HOME"] == "/tmp"  # noqa: S108


def test_a_function_knows_only_the_secrets_that_it_needs(base: list[Object], chart: list[Object]) -> None:
    def secrets(template: Object) -> set[str]:
        found = [value["secretKeyRef"] for value in environment(template).values() if isinstance(value, dict)]
        for reference in found:
            assert reference["key"] in of_kind(chart, "Secret")[reference["name"]]["data"]
            assert reference["key"] != "owner-url"
        return {reference["name"] for reference in found}

    assert {name: secrets(template) for name, template in functions(base).items()} == {
        "create": {"urumi-database"},
        "delete": {"urumi-database"},
        "reconcile": {"urumi-database", "urumi-credentials-key"},
        "status": {"urumi-database", "urumi-credentials-key"},
    }


def test_settings_come_from_the_charts_config_map(base: list[Object], chart: list[Object]) -> None:
    assert "urumi-settings" in of_kind(chart, "ConfigMap")
    for template in functions(base).values():
        assert template["spec"]["containers"][0]["envFrom"] == [{"configMapRef": {"name": "urumi-settings"}}]


def test_every_function_finds_the_authorities_that_the_chart_names(base: list[Object], chart: list[Object]) -> None:
    command = [helm.binary("helm"), "template", "urumi", str(ROOT / "charts" / "platform"), "--set-string"]
    text = subprocess.check_output([*command, "authorities=-----BEGIN CERTIFICATE-----"], text=True)
    private = of_kind([document for document in yaml.safe_load_all(text) if document], "ConfigMap")
    file = Path(private["urumi-settings"]["data"]["SSL_CERT_FILE"])
    for template in functions(base).values():
        (source,) = [v["configMap"] for v in template["spec"]["volumes"] if v["name"] == "authorities"]
        (mount,) = [m for m in template["spec"]["containers"][0]["volumeMounts"] if m["name"] == "authorities"]
        assert mount["mountPath"] == str(file.parent)
        assert file.name in private[source["name"]]["data"]
        assert source["optional"], "without authorities of one's own there is no such ConfigMap"
    assert "urumi-authorities" not in of_kind(chart, "ConfigMap")


def test_only_features_are_used_that_knative_has_without_switching_them_on(base: list[Object]) -> None:
    allowed = {
        "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "containerConcurrency",
        "timeoutSeconds", "responseStartTimeoutSeconds", "containers", "volumes",
    }  # fmt: skip
    for template in functions(base).values():
        assert set(template["spec"]) <= allowed
        assert "fieldRef" not in json.dumps(template)


def test_reconcile_has_no_address_outside_and_in_production_no_function_has(
    overlays: dict[str, list[Object]],
) -> None:
    label = "networking.knative.dev/visibility"

    def private(overlay: str) -> set[str]:
        services = of_kind(overlays[overlay], "Service")
        return {name for name, each in services.items() if each["metadata"]["labels"].get(label) == "cluster-local"}

    assert private("local") == {"reconcile"}
    assert private("prod") == private("k3s") == set(FUNCTIONS)


def test_in_production_no_merchant_waits_for_a_start(overlays: dict[str, list[Object]]) -> None:
    awake = {
        name
        for name, template in functions(overlays["prod"]).items()
        if template["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] == "1"
    }
    assert awake == {"create", "status"}


# --- events -------------------------------------------------------------------------------------------------------


def takes(trigger: Object, kind: str) -> bool:
    """Whether a trigger's filter lets an event of this type through."""
    (only,) = trigger["spec"]["filters"]
    return kind.startswith(only["prefix"]["type"])


def test_every_event_type_reaches_reconcile_by_exactly_one_trigger(base: list[Object]) -> None:
    types = [
        events.StoreRequested.type,
        events.StoreRetired.type,
        events.SWEEP_DUE,
        events.CLUSTER_CHANGED,
        events.CALLER_CAME,
    ]
    triggers = of_kind(base, "Trigger").values()
    for kind in types:
        assert len([trigger for trigger in triggers if takes(trigger, kind)]) == 1, kind
    for trigger in triggers:
        assert trigger["spec"]["subscriber"]["ref"]["name"] == "reconcile"


def test_deliveries_are_tried_again_with_pauses_and_at_last_kept(base: list[Object]) -> None:
    for trigger in of_kind(base, "Trigger").values():
        delivery = trigger["spec"]["delivery"]
        assert delivery["retry"] >= 2
        assert delivery["backoffPolicy"] in ("exponential", "linear")
        assert delivery["backoffDelay"].startswith("PT")
        assert delivery["timeout"] == "PT60S"
        assert delivery["deadLetterSink"]["ref"]["name"] == "reconcile"
        assert delivery["deadLetterSink"]["uri"] == dead_letters.PATH


def test_the_watch_may_see_what_it_watches_and_nothing_else(base: list[Object], chart: list[Object]) -> None:
    template = of_kind(base, "Deployment")["watch"]["spec"]["template"]
    assert template["spec"]["serviceAccountName"] == "urumi-events"
    granted = {r for rule in of_kind(chart, "ClusterRole")["urumi-events"]["rules"] for r in rule["resources"]}
    assert granted == {each.path.rpartition("/")[2] for each in watch.watched()}


def test_the_watch_knows_the_functions_that_send_events_by_the_labels_of_their_pods(base: list[Object]) -> None:
    """Knative gives a revision's labels to its Deployment."""
    (awaited,) = [each for each in watch.watched() if each.label != events.STORE_LABEL]
    assert awaited.label == "urumi.dev/component in (create, delete)"
    for name, template in functions(base).items():
        assert template["metadata"]["labels"]["urumi.dev/component"] == name


def test_what_the_functions_refer_to_is_at_hand_where_the_watch_runs_and_the_watch_itself_sees_no_secret(
    base: list[Object],
) -> None:
    watching = of_kind(base, "Deployment")["watch"]["spec"]["template"]
    for template in functions(base).values():
        assert referred(template) <= referred(watching)
    (container,) = watching["spec"]["containers"]
    assert "volumeMounts" not in container
    assert not [each for each in container["env"] if "valueFrom" in each]


def referred(template: Object) -> set[tuple[str, str]]:
    """ConfigMaps and Secrets that a pod names, by kind and name."""
    (container,) = template["spec"]["containers"]
    found = {("configmap", each["configMapRef"]["name"]) for each in container.get("envFrom", [])}
    for variable in container["env"]:
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            found.add(("secret", reference["name"]))
    for volume in template["spec"].get("volumes", []):
        if "configMap" in volume:
            found.add(("configmap", volume["configMap"]["name"]))
        if "secret" in volume:
            found.add(("secret", volume["secret"]["secretName"]))
    return found


def test_the_watch_tells_the_broker_that_this_cluster_has(
    deploy: ModuleType, overlays: dict[str, list[Object]], values: Object
) -> None:
    objects = list(deploy.dressed(copy.deepcopy(overlays["prod"]), found_by(deploy), values))
    template = of_kind(objects, "Deployment")["watch"]["spec"]["template"]
    assert environment(template)["K_SINK"] == found_by(deploy).sink
    assert template["spec"]["containers"][0]["command"] == ["python", "-m", "stores.cli", "watch"]


def test_the_sweep_runs_once_a_minute_and_never_twice_at_a_time(base: list[Object]) -> None:
    sweep = of_kind(base, "CronJob")["sweep"]["spec"]
    assert sweep["schedule"] == "* * * * *"
    assert sweep["concurrencyPolicy"] == "Forbid"
    assert sweep["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 60
    container = sweep["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "stores.cli", "sweep"]


def test_the_sink_binding_takes_the_sweeps_jobs(base: list[Object]) -> None:
    binding = of_kind(base, "SinkBinding")["sweep"]["spec"]
    labels = of_kind(base, "CronJob")["sweep"]["spec"]["jobTemplate"]["metadata"]["labels"]
    assert binding["subject"]["kind"] == "Job"
    assert binding["subject"]["selector"]["matchLabels"].items() <= labels.items()
    assert binding["sink"]["ref"]["name"] == "stores"


def test_the_ping_overlay_sweeps_more_often_than_a_minute(overlays: dict[str, list[Object]]) -> None:
    ping = of_kind(overlays["ping"], "PingSource")["sweep"]["spec"]
    assert len(ping["schedule"].split()) == 6
    trigger = of_kind(overlays["ping"], "Trigger")["ping-sweep"]["spec"]
    assert trigger["filters"] == [{"exact": {"type": "dev.knative.sources.ping"}}]


def test_objects_of_kubernetes_itself_are_valid(overlays: dict[str, list[Object]]) -> None:
    for objects in overlays.values():
        for each in objects:
            if each["apiVersion"] in ("v1", "batch/v1"):
                kubernetes_validate.validate(each, "1.34", strict=True)


# --- the API's address --------------------------------------------------------------------------------------------

CALLS = [
    ("POST", "/api/stores", "create"),
    ("POST", "/api/stores/1/retry", "create"),
    ("POST", "/api/stores/1/credentials", "create"),
    ("DELETE", "/api/stores/1", "delete"),
    ("GET", "/api/stores", "status"),
    ("GET", "/api/stores/1/credentials", "status"),
    ("GET", "/api/platform", "status"),
    ("GET", "/metrics", "status"),
    ("POST", "/dead-letters", None),
    ("PUT", "/api/stores/1", None),
    ("GET", "/", None),
]


def routed(route: Object, method: str, path: str) -> str | None:
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            kind, value = match["path"]["type"], match["path"]["value"]
            hit = path == value or (kind == "PathPrefix" and path.startswith(value.rstrip("/") + "/"))
            if match["method"] == method and hit:
                name: str = rule["filters"][0]["urlRewrite"]["hostname"]
                return name.partition(".")[0]
    return None


@pytest.mark.parametrize(("method", "path", "function"), CALLS)
def test_method_and_path_choose_the_function(base: list[Object], method: str, path: str, function: str | None) -> None:
    assert routed(of_kind(base, "HTTPRoute")["api"], method, path) == function


def test_the_gateway_api_route_may_use_knatives_gateway(base: list[Object]) -> None:
    backends = {
        (b["namespace"], b["name"])
        for rule in of_kind(base, "HTTPRoute")["api"]["spec"]["rules"]
        for b in rule["backendRefs"]
    }
    grant = of_kind(base, "ReferenceGrant")["urumi-api"]
    assert backends == {(grant["metadata"]["namespace"], grant["spec"]["to"][0]["name"])}
    assert grant["spec"]["from"][0]["namespace"] == "urumi-system"


def test_traefiks_own_routes_say_the_same(overlays: dict[str, list[Object]]) -> None:
    route = of_kind(overlays["k3s"], "IngressRoute")["urumi-api"]
    assert not of_kind(overlays["k3s"], "HTTPRoute")
    middlewares = of_kind(overlays["k3s"], "Middleware")
    rules = {}
    for rule in route["spec"]["routes"]:
        (middleware,) = rule["middlewares"]
        host = middlewares[middleware["name"]]["spec"]["headers"]["customRequestHeaders"]["Host"]
        rules[host.partition(".")[0]] = rule["match"].removeprefix("Host(`api.localhost`) && ")
    assert rules == {
        "create": "Method(`POST`) && PathPrefix(`/api/stores`)",
        "delete": "Method(`DELETE`) && PathPrefix(`/api/stores`)",
        "status": "Method(`GET`) && (PathPrefix(`/api`) || Path(`/metrics`))",
    }


# --- deploy.py ----------------------------------------------------------------------------------------------------


@pytest.fixture
def values(deploy: ModuleType) -> Object:
    merged: Object = deploy.merged([deploy.CHART / "values.yaml", deploy.CHART / "values-prod.yaml"])
    return merged


def found_by(deploy: ModuleType) -> Any:
    """A cluster with a Gateway of three listeners and with Kourier."""
    return deploy.Found(
        gateway=("edge", "public"),
        listeners={"HTTP": ["plain", "inside"], "HTTPS": ["secure"]},
        backend=("kourier-system", "kourier-internal"),
        sink="http://broker/x",
        settings="abc",
    )


def test_deploy_puts_this_clusters_names_into_the_objects(
    deploy: ModuleType, overlays: dict[str, list[Object]], values: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("URUMI_IMAGE_PREFIX", "registry.example/team/")
    monkeypatch.setenv("URUMI_IMAGE_TAG", "1.2.3")
    values["database"]["existingSecret"] = "my-database"
    found = found_by(deploy)
    objects = list(deploy.dressed(copy.deepcopy(overlays["prod"]), found, values))
    for template in functions(objects).values():
        assert template["spec"]["containers"][0]["image"] == "registry.example/team/urumi-functions:1.2.3"
        assert template["metadata"]["annotations"]["urumi.dev/settings"] == "abc"
        assert environment(template)["URUMI_DATABASE_URL"]["secretKeyRef"]["name"] == "my-database"
    assert environment(functions(objects)["create"])["K_SINK"] == "http://broker/x"
    assert ("secret", "my-database") in referred(of_kind(objects, "Deployment")["watch"]["spec"]["template"])
    route = of_kind(objects, "HTTPRoute")["api"]["spec"]
    assert route["hostnames"] == ["api.example.com"]
    assert route["parentRefs"] == [{"namespace": "edge", "name": "public", "sectionName": "secure"}]
    for rule in route["rules"]:
        assert rule["backendRefs"] == [{"name": "kourier-internal", "namespace": "kourier-system", "port": 80}]
    grant = of_kind(objects, "ReferenceGrant")["urumi-api"]
    assert grant["metadata"]["namespace"] == "kourier-system"
    assert grant["spec"]["to"][0]["name"] == "kourier-internal"


def test_with_tls_the_api_answers_at_https_alone_and_plain_http_of_the_whole_domain_is_led_there(
    deploy: ModuleType, overlays: dict[str, list[Object]], values: Object
) -> None:
    routes = of_kind(list(deploy.dressed(copy.deepcopy(overlays["prod"]), found_by(deploy), values)), "HTTPRoute")
    attached = {name: [parent["sectionName"] for parent in r["spec"]["parentRefs"]] for name, r in routes.items()}
    assert attached == {"api": ["secure"], "to-https": ["plain", "inside"]}
    assert routes["to-https"]["spec"]["hostnames"] == ["*.example.com"]
    ((redirect,),) = [rule["filters"] for rule in routes["to-https"]["spec"]["rules"]]
    assert redirect["requestRedirect"]["scheme"] == "https"
    grant = of_kind(list(deploy.dressed(copy.deepcopy(overlays["prod"]), found_by(deploy), values)), "ReferenceGrant")
    assert grant["urumi-certificate"]["spec"]["from"][0]["namespace"] == "edge"

    traefik = list(deploy.dressed(copy.deepcopy(overlays["k3s"]), found_by(deploy), values))
    (rule,) = of_kind(traefik, "IngressRoute")["to-https"]["spec"]["routes"]
    assert rule["match"] == r"HostRegexp(`^.+\.example\.com$`)"
    assert rule["priority"] == 1, "every other route of a host comes first"
    (middleware,) = rule["middlewares"]
    assert of_kind(traefik, "Middleware")[middleware["name"]]["spec"]["redirectScheme"]["scheme"] == "https"


def test_without_tls_nothing_is_led_to_https(
    deploy: ModuleType, overlays: dict[str, list[Object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    applied, deleted = deployed_routes(deploy, overlays, monkeypatch, tls=False)
    assert "to-https" not in applied
    assert deleted == ["to-https"]
    applied, deleted = deployed_routes(deploy, overlays, monkeypatch, tls=True)
    assert "to-https" in applied
    assert deleted == []


def deployed_routes(
    deploy: ModuleType, overlays: dict[str, list[Object]], monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> tuple[list[str], list[str]]:
    """Names of the routes that `make deploy` applies and deletes."""
    merged, applied, deleted = deploy.merged, [], []

    def changed(values: Object) -> Object:
        return values | {"tls": values["tls"] | {"enabled": tls}}

    monkeypatch.setattr(deploy, "merged", lambda files: changed(merged(files)))
    monkeypatch.setattr(deploy, "apply", lambda objects: applied.extend(of_kind(objects, "HTTPRoute")))
    monkeypatch.setattr(deploy, "delete", lambda objects: deleted.extend(of_kind(objects, "HTTPRoute")))
    monkeypatch.setattr(deploy, "look", lambda **_: found_by(deploy))
    monkeypatch.setattr(deploy, "render", lambda overlay: copy.deepcopy(overlays[overlay]))
    for name, value in {"missing": (), "absent_images": (), "items": (), "get": None, "kubectl": ""}.items():
        monkeypatch.setattr(deploy, name, lambda *_, value=value: value)
    for name in ("install_chart", "wait", "wait_for_triggers", "addresses", "say"):
        monkeypatch.setattr(deploy, name, lambda *_, **__: "")
    deploy.deploy(argparse.Namespace(overlay="prod", values=None, gateway=None))
    monkeypatch.undo()
    return applied, deleted


def test_deploy_asks_the_same_images_of_the_dashboard_and_the_stores(deploy: ModuleType) -> None:
    from stores import engines

    ours = {f"urumi-{name}" for name in deploy.IMAGES}
    used = {name for recipe in engines.RECIPES.values() for name in recipe.images.values()}
    assert used <= ours
    for name, context in deploy.IMAGES.items():
        assert (ROOT / "images" / name / "Dockerfile").exists()
        assert (ROOT / context).is_dir()


def test_images_are_built_by_whatever_command_is_named(
    deploy: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BUILD_IMAGE", "/opt/tool build-image --quiet")
    command = deploy.build_command("functions", deploy.builder(), wordpress=None)
    assert command[:5] == ["/opt/tool", "build-image", "--quiet", "-t", "dev.local/urumi-functions:0.1.0"]
    assert command[5:7] == ["-f", str(ROOT / "images/functions/Dockerfile")]
    assert Path(command[-1]) == ROOT
    shop = deploy.build_command("woocommerce", ["docker", "build"], wordpress=str(tmp_path))
    assert shop[shop.index("--build-context") + 1] == f"sources={tmp_path}"
    assert "--build-context" not in deploy.build_command("woocommerce", ["docker", "build"], wordpress=None)


@pytest.mark.parametrize("image", ["functions", "dashboard"])
def test_an_image_installs_what_its_lock_says_and_runs_as_nobody(image: str) -> None:
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    assert "--require-hashes" in text
    assert "\nUSER 65532:65532\n" in text
    assert "unchecked-hash" in text


def test_missing_things_are_named_in_plain_sentences(
    deploy: ModuleType, values: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731
    monkeypatch.setattr(deploy, "get", nothing)
    said = "\n".join(deploy.missing("prod", values))
    for word in ("Serving", "Eventing", "Gateway", "StorageClass", "cert-manager", "Prometheus"):
        assert word in said


@pytest.mark.parametrize(
    ("solver", "refused"),
    [
        ({"http01": {"ingress": {"ingressClassName": "traefik"}}}, True),
        ({"http01": {"ingress": {"ingressClassName": "traefik", "serviceType": "ClusterIP"}}}, False),
        ({"dns01": {"cloudflare": {}}}, False),
    ],
)
def test_an_issuer_whose_solver_no_store_would_let_in_is_named_before_anything_is_changed(
    deploy: ModuleType, values: Object, monkeypatch: pytest.MonkeyPatch, solver: Object, refused: bool
) -> None:
    issuer = {"spec": {"acme": {"solvers": [solver]}}}
    monkeypatch.setattr(deploy, "get", lambda kind, *_: issuer if kind == "clusterissuer" else {"items": []})
    values["tls"]["issuer"] = "theirs"
    assert any("ClusterIssuer theirs" in problem for problem in deploy.missing("prod", values)) is refused


def test_deploy_makes_a_trigger_anew_that_knative_gave_up_on(
    deploy: ModuleType, base: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, applied, state = [0.0], [], {"requests": "False", "changes": "Unknown", "sweep": "True"}

    def triggers(*_: str) -> list[Object]:
        state["changes"] = "True"
        return [
            {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status}]}}
            for name, status in state.items()
        ]

    def apply(objects: list[Object]) -> None:
        applied.extend(each["metadata"]["name"] for each in objects)
        state["requests"] = "True"

    monkeypatch.setattr(deploy, "items", triggers)
    monkeypatch.setattr(deploy, "apply", apply)
    monkeypatch.setattr(deploy, "kubectl", lambda *_: "")
    monkeypatch.setattr(deploy.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(deploy.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    deploy.wait_for_triggers(base)
    assert applied == ["requests"]
    assert deploy.PATIENCE < clock[0] < 60
