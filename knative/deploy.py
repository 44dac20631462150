"""`make images`, `make deploy`, `make undeploy`, `make cli`: from a kubectl context to a working platform, and back.

Everything here can be repeated and killed at any point: helm and server-side apply bring the cluster to what the files
say, and change nothing when it is there. Settings come from charts/platform's values; what depends on the cluster
(its Gateway, Knative's own gateway, the broker's address) is looked up and put into the objects of the overlay.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stores import helm

ROOT = Path(__file__).resolve().parents[1]
KNATIVE = ROOT / "knative"
CHART = ROOT / "charts" / "platform"
NAMESPACE = "urumi-system"
RELEASE = "urumi"
FUNCTIONS = ("create", "delete", "reconcile", "status")

# Image -> its build context; the Dockerfile is images/<image>/Dockerfile.
IMAGES = {
    "functions": ".",
    "dashboard": ".",
    "woocommerce": "images/woocommerce",
    "medusa": "images/medusa",
    "medusa-storefront": "images/medusa-storefront",
}
# The namespace of Knative's gateway, by what config-network calls it.
GATEWAYS = {"kourier": "kourier-system", "istio": "istio-system", "contour": "contour-internal"}

Object = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What this cluster has, which no file can know."""

    gateway: tuple[str, str] | None  # the Gateway to which the API's route attaches: namespace, name
    listeners: dict[str, list[str]]  # that Gateway's listeners by protocol: HTTP, HTTPS
    backend: tuple[str, str] | None  # Knative's gateway Service for addresses inside the cluster: namespace, name
    sink: str  # the broker's address
    settings: str  # digest of the settings: a change starts new revisions


# --- images -------------------------------------------------------------------------------------------------------


def prefix() -> str:
    return os.environ.get("URUMI_IMAGE_PREFIX", "dev.local/")


def tag() -> str:
    return os.environ.get("URUMI_IMAGE_TAG", "0.1.0")


def image(name: str) -> str:
    return f"{prefix()}urumi-{name}:{tag()}"


def build_command(name: str, builder: Sequence[str], *, wordpress: str | None) -> list[str]:
    """The command that builds one image. WooCommerce's sources can be given: the build fetches nothing then."""
    command = [*builder, "-t", image(name), "-f", str(ROOT / "images" / name / "Dockerfile")]
    if name == "woocommerce" and wordpress:
        command += ["--build-context", f"sources={Path(wordpress).resolve()}"]
    return [*command, str(ROOT / IMAGES[name])]


def builder() -> list[str]:
    """BUILD_IMAGE, or docker or podman, whichever is there."""
    if named := os.environ.get("BUILD_IMAGE"):
        return shlex.split(named)
    for tool in ("docker", "podman"):
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode == 0:
            return [tool, "build"]
    sys.exit("Neither docker nor podman is installed. Set BUILD_IMAGE to a command that takes -t, -f and a folder.")


def images(arguments: argparse.Namespace) -> None:
    for name in arguments.name or IMAGES:
        began = time.monotonic()
        command = build_command(name, builder(), wordpress=os.environ.get("URUMI_WORDPRESS_SOURCES"))
        print(f"--- {image(name)}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit(f"{image(name)} could not be built; the command was: {shlex.join(command)}")
        print(f"--- {image(name)} is there after {time.monotonic() - began:.0f} s", flush=True)
        note(name)


def note(name: str) -> None:
    """Notes which images were built here: the e2e tests leave out an engine that has none."""
    path = ROOT / ".urumi" / "images"
    path.parent.mkdir(exist_ok=True)
    built = set(path.read_text(encoding="utf-8").split()) if path.exists() else set()
    path.write_text("\n".join(sorted({*built, f"urumi-{name}"})) + "\n", encoding="utf-8")


# --- kubectl and helm ---------------------------------------------------------------------------------------------


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """kubectl's output; ends the program with its own words when it fails."""
    done = subprocess.run(
        [helm.binary("kubectl"), *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"kubectl {' '.join(arguments[:4])} failed: {done.stderr.strip()}")
    return done.stdout


def get(*arguments: str) -> Any:
    """An object or a list, as JSON; None when there is none, or no such kind."""
    done = subprocess.run(
        [helm.binary("kubectl"), "get", *arguments, "-o", "json"], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None


def items(*arguments: str) -> list[Object]:
    found = get(*arguments)
    return list(found["items"]) if found else []


def apply(objects: Sequence[Object]) -> str:
    return kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=urumi-deploy", "-f", "-",
        stdin=yaml.safe_dump_all(objects),
    )  # fmt: skip


def delete(objects: Sequence[Object]) -> None:
    """Deletes what is there of them, without waiting."""
    for each in objects:
        subprocess.run(
            [helm.binary("kubectl"), "delete", "-f", "-", "--ignore-not-found", "--wait=false"],
            input=yaml.safe_dump(each), capture_output=True, text=True, check=False,
        )  # fmt: skip


def render(overlay: str) -> list[Object]:
    text = kubectl("kustomize", str(KNATIVE / "overlays" / overlay))
    return [document for document in yaml.safe_load_all(text) if document]


# --- what is missing ----------------------------------------------------------------------------------------------


def missing(overlay: str, chart_values: Object) -> Iterator[str]:
    """A sentence for each thing that the cluster lacks: what, and what to do."""
    if get("crd", "services.serving.knative.dev") is None:
        yield "Knative Serving is not installed: https://knative.dev/docs/install/ (1.15 or newer)."
    if get("crd", "triggers.eventing.knative.dev") is None:
        yield "Knative Eventing is not installed: https://knative.dev/docs/install/ (1.15 or newer)."
    elif get("crd", "inmemorychannels.messaging.knative.dev") is None and not items("brokers", "-A"):
        yield "Knative Eventing has no broker: install its MT broker with the in-memory channel, or another one."
    if overlay == "k3s":
        if get("crd", "ingressroutes.traefik.io") is None:
            yield "Traefik's own resources (traefik.io) are not installed; the overlay k3s needs them."
    elif not items("gateways.gateway.networking.k8s.io", "-A"):
        yield (
            "There is no Gateway (Gateway API), which gives the API its address. Make one, or with Traefik take"
            " OVERLAY=k3s."
        )
    elif chart_values["tls"]["enabled"] and not any("HTTPS" in found for found in gateways().values()):
        yield (
            "tls.enabled is set, but no Gateway has a listener for HTTPS. Add one for the API; with tls.certificates"
            f" per-host its certificate is the Secret {NAMESPACE}/api-tls."
        )
    default = "storageclass.kubernetes.io/is-default-class"
    classes = [c["metadata"].get("annotations", {}).get(default) for c in items("storageclasses")]
    if "true" not in classes and not chart_values["database"].get("storageClass"):
        yield "No StorageClass is the default one, and database.storageClass names none."
    if chart_values["tls"]["enabled"] and get("crd", "certificates.cert-manager.io") is None:
        yield "tls.enabled is set, but cert-manager is not installed."
    elif chart_values["tls"]["enabled"] and (name := chart_values["tls"]["issuer"]):
        solvers = (get("clusterissuer", name) or {}).get("spec", {}).get("acme", {}).get("solvers", [])
        kinds = [solver.get("http01", {}).get("ingress", {"serviceType": "ClusterIP"}) for solver in solvers]
        if any(kind.get("serviceType") != "ClusterIP" for kind in kinds):
            yield (
                f"The ClusterIssuer {name} would prove stores' hosts with node ports, which they may not have: its"
                " solver http01.ingress needs serviceType: ClusterIP."
            )
    if get("crd", "scrapeconfigs.monitoring.coreos.com") is None and chart_values.get("monitoring", {}).get("operator"):
        yield "monitoring.operator is set, but the Prometheus operator is not installed."
    for name in {"functions", "dashboard"} & set(absent_images()):
        yield f"No node has the image {image(name)}: `make images` builds it."


def absent_images() -> list[str]:
    """Images that no registry has and no node either. A node tells of its fifty largest images only."""
    if not prefix().startswith("dev.local/"):
        return []
    nodes = items("nodes")
    known = [name for node in nodes for each in node["status"].get("images", []) for name in each.get("names") or []]
    return [name for name in IMAGES if len(known) < 50 * len(nodes) and image(name) not in known]


# --- deploy -------------------------------------------------------------------------------------------------------


def deploy(arguments: argparse.Namespace) -> None:
    began = time.monotonic()
    kubectl("version")  # fails with kubectl's own words when there is no cluster
    files = [CHART / "values.yaml", CHART / f"values-{'local' if arguments.overlay in LOCAL else 'prod'}.yaml"]
    files += [arguments.values] if arguments.values else []
    chart_values = merged(files)
    problems = list(missing(arguments.overlay, chart_values))
    if problems:
        sys.exit("\n".join(["Not deployed. What is missing:", *(f"  - {problem}" for problem in problems)]))

    apply([yaml.safe_load((KNATIVE / "namespace.yaml").read_text())])
    say("platform: database, dashboard, rights, policies")
    install_chart(files, chart_values)
    wait("statefulset", "postgres", "jsonpath={.status.readyReplicas}=1")
    for job in items("jobs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=migrate"):
        wait("job", job["metadata"]["name"], "condition=Complete")
    wait("deployment", "dashboard", "condition=Available")

    # One after the other: a small cluster that starts everything at once starves Knative's own controllers.
    say("functions")
    objects = render(arguments.overlay)
    apply([each for each in objects if each["kind"] == "Broker"])
    wait("broker", "stores", "condition=Ready")
    functions = [each for each in objects if each["kind"] == "Service"]
    apply(list(dressed(functions, look(gateway=arguments.gateway), chart_values)))
    for each in functions:
        wait("ksvc", each["metadata"]["name"], "condition=Ready")

    say("events, addresses")
    rest = [each for each in objects if each["kind"] not in ("Broker", "Service")]
    rest = list(dressed(rest, look(gateway=arguments.gateway), chart_values))
    if not chart_values["tls"]["enabled"]:
        delete([each for each in rest if each["metadata"]["name"] == TO_HTTPS])  # of a deployment that had it
        rest = [each for each in rest if each["metadata"]["name"] != TO_HTTPS]
    apply(rest)
    wait_for_triggers(rest)
    wait("deployment", "watch", "condition=Available")
    print(addresses(chart_values, seconds=time.monotonic() - began))
    if absent := absent_images():
        names = ", ".join(map(image, absent))
        print(f"\nNo node has {names}: stores that need it stay on their way until `make images` has built it.")


PATIENCE = 20  # seconds for which a trigger may say that it failed
LOCAL = ("local", "ping")
TO_HTTPS = "to-https"  # the route that leads plain http to https
ROUTES = ("HTTPRoute", "ReferenceGrant", "IngressRoute", "Middleware")


def merged(files: Sequence[Path]) -> Object:
    """Values as helm merges them: later files win, mappings are merged."""

    def merge(below: Object, above: Object) -> Object:
        both = {key: merge(below[key], above[key]) for key in below.keys() & above.keys()
                if isinstance(below[key], dict) and isinstance(above[key], dict)}  # fmt: skip
        return below | above | both

    result: Object = {}
    for file in files:
        result = merge(result, yaml.safe_load(file.read_text()) or {})
    return result


def install_chart(files: Sequence[Path], chart_values: Object) -> None:
    settings = {"images": {"prefix": prefix(), "tag": tag()}, "migrations": {"digest": migrations_digest()}}
    if namespace := knative_gateway_namespace():
        settings["knative"] = {"gateway": namespace}
        chart_values["knative"]["gateway"] = namespace
    command = [helm.binary("helm"), "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE]
    for file in files[1:]:
        command += ["--values", str(file)]
    if not changes_release(command, settings):
        return
    done = subprocess.run(
        [*command, "--values", "-"], input=json.dumps(settings), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"helm failed: {done.stderr.strip()}")


def changes_release(command: list[str], settings: Object) -> bool:
    """Whether helm would write anything else than what it wrote last: each upgrade is a revision, even an empty one."""
    last = subprocess.run(
        [helm.binary("helm"), "get", "manifest", RELEASE, "--namespace", NAMESPACE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    status = get("secrets", "-n", NAMESPACE, "-l", f"owner=helm,name={RELEASE},status=deployed")
    if last.returncode or not status or not status["items"]:
        return True
    dry = subprocess.run(
        [*command, "--values", "-", "--dry-run=server", "--output", "json"],
        input=json.dumps(settings), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if dry.returncode:
        sys.exit(f"helm failed: {dry.stderr.strip()}")
    manifest: str = json.loads(dry.stdout)["manifest"]
    return manifest.strip() != last.stdout.strip()


def migrations_digest() -> str:
    """Changes with every new migration, so that the Job runs again though the image's tag is the same."""
    files = sorted((ROOT / "functions" / "stores" / "migrations").rglob("*.sql"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def knative_gateway_namespace() -> str | None:
    if backend := knative_gateway():
        return backend[0]
    config = get("configmap", "config-network", "-n", "knative-serving") or {}
    name = str(config.get("data", {}).get("ingress-class", "")).partition(".")[0]
    return GATEWAYS.get(name)


def knative_gateway() -> tuple[str, str] | None:
    """Namespace and name of the Service behind addresses inside the cluster, as Knative notes it on any ingress."""
    for ingress in items("ingresses.networking.internal.knative.dev", "-A"):
        for point in ingress.get("status", {}).get("privateLoadBalancer", {}).get("ingress", []):
            if domain := point.get("domainInternal"):
                name, namespace, *_ = domain.split(".")
                return namespace, name
    return None


def look(*, gateway: str | None) -> Found:
    """Looks up what only the cluster knows."""
    broker = get("broker", "stores", "-n", NAMESPACE) or {}
    config = get("configmap", "urumi-settings", "-n", NAMESPACE) or {}
    known = gateways()
    if gateway:
        namespace, _, name = gateway.partition("/")
        known = {(namespace, name): known.get((namespace, name), {})}
    if len(known) > 1:
        names = ", ".join("/".join(each) for each in known)
        sys.exit(f"There are several Gateways ({names}). Name one: make deploy GATEWAY=namespace/name")
    chosen = next(iter(known), None)
    return Found(
        gateway=chosen,
        listeners=known[chosen] if chosen else {},
        backend=knative_gateway(),
        sink=broker.get("status", {}).get("address", {}).get("url", ""),
        settings=hashlib.sha256(json.dumps(config.get("data", {}), sort_keys=True).encode()).hexdigest()[:12],
    )


def gateways() -> dict[tuple[str, str], dict[str, list[str]]]:
    """The listeners of each Gateway by their protocol."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for each in items("gateways.gateway.networking.k8s.io", "-A"):
        listeners = found[each["metadata"]["namespace"], each["metadata"]["name"]] = defaultdict(list)
        for listener in each["spec"]["listeners"]:
            listeners[listener["protocol"]].append(listener["name"])
    return found


def attachments(found: Found, protocol: str | None) -> list[Object]:
    """What a route names as its parents: the Gateway, or those of its listeners that speak a protocol."""
    gateway = dict(zip(("namespace", "name"), found.gateway or (), strict=False))
    return [gateway | {"sectionName": name} for name in found.listeners.get(protocol, [])] if protocol else [gateway]


def dressed(objects: Sequence[Object], found: Found, chart_values: Object) -> Iterator[Object]:
    """The overlay's objects with this cluster's names put in. Pure."""
    domain = chart_values["domain"]
    host = f"{chart_values['hosts']['api']}.{domain}"
    secure = "HTTPS" if chart_values["tls"]["enabled"] else None
    for each in objects:
        match each["kind"], each["apiVersion"].partition("/")[0]:
            case ("Service", "serving.knative.dev") | ("Deployment", _):
                template = each["spec"]["template"]
                template["metadata"]["annotations"]["urumi.dev/settings"] = found.settings
                _pod(template["spec"], found, chart_values)
            case "CronJob", _:
                _pod(each["spec"]["jobTemplate"]["spec"]["template"]["spec"], found, chart_values)
            case "HTTPRoute", _:
                redirects = each["metadata"]["name"] == TO_HTTPS
                each["spec"]["hostnames"] = [f"*.{domain}" if redirects else host]
                if found.gateway:
                    each["spec"]["parentRefs"] = attachments(found, "HTTP" if redirects else secure)
                for rule in each["spec"]["rules"] if found.backend and not redirects else []:
                    rule["backendRefs"][0] |= dict(zip(("namespace", "name"), found.backend or (), strict=True))
            case "ReferenceGrant", _ if each["metadata"]["name"] == "urumi-certificate":
                each["spec"]["from"][0]["namespace"] = found.gateway[0] if found.gateway else NAMESPACE
            case "ReferenceGrant", _ if found.backend:
                each["metadata"]["namespace"], each["spec"]["to"][0]["name"] = found.backend
            case "IngressRoute" | "Middleware", _:
                if found.backend:
                    each["metadata"]["namespace"] = found.backend[0]
                for route in each["spec"].get("routes", []):
                    route["match"] = route["match"].replace("api.localhost", host)
                    route["match"] = route["match"].replace(r"\.localhost$", rf"\.{re.escape(domain)}$")
                    if found.backend and each["metadata"]["name"] != TO_HTTPS:
                        route["services"][0]["name"] = found.backend[1]
        yield each


def _pod(pod: Object, found: Found, chart_values: Object) -> None:
    (container,) = pod["containers"]
    container["image"] = image("functions")
    container["imagePullPolicy"] = chart_values["images"]["pullPolicy"]
    names = {
        "urumi-database": chart_values["database"].get("existingSecret"),
        "urumi-credentials-key": chart_values["secrets"].get("credentialsKey"),
    }
    for variable in container.get("env", []):
        if variable["name"] == "K_SINK":
            variable["value"] = found.sink
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            reference["name"] = names.get(reference["name"]) or reference["name"]
    for volume in pod.get("volumes", []):
        if secret := volume.get("secret"):
            secret["secretName"] = names.get(secret["secretName"]) or secret["secretName"]


def wait_for_triggers(objects: Sequence[Object]) -> None:
    """Waits for all triggers; makes those anew that Knative gave up on.

    After an error (its webhook was starting, say) Knative's own next try may be a quarter of an hour away.
    """
    triggers = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Trigger"}
    failed_since: dict[str, float] = {}
    until = time.monotonic() + 240
    while time.monotonic() < until:
        states = {each["metadata"]["name"]: _ready(each) for each in items("triggers", "-n", NAMESPACE)}
        if all(states.get(name) == "True" for name in triggers):
            return
        failed = [name for name in triggers if states.get(name) == "False"]
        failed_since = {name: failed_since.get(name, time.monotonic()) for name in failed}
        if old := [name for name, since in failed_since.items() if time.monotonic() - since > PATIENCE]:
            kubectl("delete", "trigger", "-n", NAMESPACE, *old)
            apply([triggers[name] for name in old])
            failed_since = {name: since for name, since in failed_since.items() if name not in old}
        time.sleep(1)


def _ready(each: Object) -> str:
    """The condition Ready: True, False or Unknown."""
    conditions = each.get("status", {}).get("conditions", [])
    return next((str(found["status"]) for found in conditions if found["type"] == "Ready"), "Unknown")


def wait(kind: str, name: str, what: str, *, seconds: int = 240) -> None:
    """Waits for one object; says what its pods suffer from when it does not come."""
    if get(kind, name, "-n", NAMESPACE) is None:
        return
    command = [
        helm.binary("kubectl"),
        "wait",
        "-n",
        NAMESPACE,
        f"{kind}/{name}",
        f"--for={what}",
        f"--timeout={seconds}s",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reasons = "\n".join(f"  - {reason}" for reason in troubles())
        sys.exit(f"{kind} {name} did not come up within {seconds} s.\n{reasons or '  Its pods show no reason.'}")


def troubles() -> Iterator[str]:
    """Why pods and functions of the platform do not run, in Kubernetes' own words."""
    for pod in items("pods", "-n", NAMESPACE):
        for container in pod["status"].get("containerStatuses", []):
            waiting = container["state"].get("waiting") or {}
            if container["restartCount"]:
                logs = [
                    helm.binary("kubectl"),
                    "logs",
                    "-n",
                    NAMESPACE,
                    pod["metadata"]["name"],
                    "-c",
                    container["name"],
                ]
                said = subprocess.run([*logs, "--tail=3"], capture_output=True, text=True, check=False).stdout
                yield f"pod {pod['metadata']['name']} ends again and again; it said last: {said.strip()}"
            if waiting.get("reason") not in (None, "ContainerCreating"):
                yield f"pod {pod['metadata']['name']}: {waiting['reason']}: {waiting.get('message', '')}"[:300]
        for condition in pod["status"].get("conditions", []):
            if condition.get("reason") == "Unschedulable":
                yield f"pod {pod['metadata']['name']}: {condition['message']}"
    for kind in ("ksvc", "trigger", "broker"):
        for each in items(kind, "-n", NAMESPACE):
            for condition in each.get("status", {}).get("conditions", []):
                if condition["type"] == "Ready" and condition["status"] != "True":
                    yield f"{kind} {each['metadata']['name']}: {condition.get('message', condition.get('reason'))}"


def addresses(chart_values: Object, *, seconds: float) -> str:
    scheme = "https" if chart_values["tls"]["enabled"] else "http"
    domain, hosts = chart_values["domain"], chart_values["hosts"]
    port = f":{chart_values['port']}" if chart_values["port"] else ""
    first = get("secret", "urumi-first-token", "-n", NAMESPACE) if chart_values["secrets"]["firstToken"] else None
    token = base64.b64decode(first["data"]["token"]).decode() if first else "none; `make cli` draws one"
    return f"""
Urumi runs, after {seconds:.0f} s.

  Dashboard   {scheme}://{hosts["dashboard"]}.{domain}{port}
  API         {scheme}://{hosts["api"]}.{domain}{port}/api/stores
  Stores      {scheme}://<name>.{domain}{port}
  Token       {token}

`make cli ARGS="token create --owner NAME"` draws a token for somebody, `make undeploy` takes the platform down."""


# --- undeploy, cli ------------------------------------------------------------------------------------------------


def undeploy(arguments: argparse.Namespace) -> None:
    """Removes the platform. Stores, the database's volume and the secrets stay, so that a deploy finds them again."""
    say("functions, events")
    routes = [each for each in render(arguments.overlay) if each["kind"] in ROUTES]
    found = look(gateway=arguments.gateway)
    delete([*render(arguments.overlay), *dressed(routes, found, merged([CHART / "values.yaml"]))])
    # While reconcile works it makes anew what goes.
    last = ("pods", "-n", NAMESPACE, "-l", "serving.knative.dev/service=reconcile")
    kubectl("wait", "--for=delete", *last, "--timeout=300s")
    ours = stores()
    if arguments.stores:
        say("stores")
        for each in ours:
            kubectl("delete", "namespace", each["metadata"]["name"], "--wait=false")
    say("platform")
    subprocess.run(
        [helm.binary("helm"), "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found"],
        capture_output=True, check=False,
    )  # fmt: skip
    if arguments.stores:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s")
        for each in ours:
            kubectl("wait", "--for=delete", f"namespace/{each['metadata']['name']}", "--timeout=180s")
        print("Nothing of Urumi is left.")
    else:
        print(
            f"{len(ours)} stores go on. The database's volume and the secrets in {NAMESPACE} stay for the next deploy."
        )


def stores() -> list[Object]:
    """The namespaces of this platform's stores; another's in the same cluster are none of ours."""
    platform = get("configmap", "urumi-platform", "-n", NAMESPACE)
    label = "app.kubernetes.io/managed-by=urumi,urumi.dev/platform"
    return items("namespaces", "-l", f"{label}={platform['data']['id']}") if platform else []


def cli(arguments: argparse.Namespace) -> None:
    """Runs `python -m stores.cli` in a pod of its own. By exec, so that a drawn token is in no pod's log."""
    name = f"operator-{secrets.token_hex(3)}"
    template = next(s for s in items("ksvc", "-n", NAMESPACE) if s["metadata"]["name"] == "status")["spec"]["template"]
    sink = (get("broker", "stores", "-n", NAMESPACE) or {}).get("status", {}).get("address", {}).get("url", "")
    container = template["spec"]["containers"][0]
    keys = ("image", "imagePullPolicy", "envFrom", "env", "securityContext", "volumeMounts", "resources")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"urumi.dev/component": "operator"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 600,
            "terminationGracePeriodSeconds": 0,
            "containers": [{key: container[key] for key in keys} | {"name": "cli", "command": ["sleep", "600"]}],
            "volumes": template["spec"]["volumes"],
        },
    }
    pod["spec"]["containers"][0]["env"] = [*container["env"], {"name": "K_SINK", "value": sink}]  # type: ignore[index]
    apply([pod])
    try:
        kubectl("wait", "-n", NAMESPACE, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        command = [helm.binary("kubectl"), "exec", "-n", NAMESPACE, name, "--", "python", "-m", "stores.cli"]
        status = subprocess.run([*command, *arguments.argument], check=False).returncode
    finally:
        kubectl("delete", "-n", NAMESPACE, "pod", name, "--wait=false")
    sys.exit(status)


def say(what: str) -> None:
    print(f"--- {what}", flush=True)


def main() -> None:
    root = argparse.ArgumentParser(prog="knative/deploy.py", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("images", help="build all images, or those named")
    build.add_argument("name", nargs="*", choices=[*IMAGES, []])
    build.set_defaults(run=images)
    for name, run in (("deploy", deploy), ("undeploy", undeploy)):
        command = commands.add_parser(name, help=(run.__doc__ or "").split("\n")[0])
        command.add_argument("--overlay", default="local", help="a folder of knative/overlays")
        command.add_argument("--gateway", help="NAMESPACE/NAME of the Gateway, when there are several")
        command.set_defaults(run=run)
        if run is deploy:
            command.add_argument("--values", type=Path, help="values of charts/platform, over those of the overlay")
        else:
            command.add_argument("--stores", action="store_true", help="delete all stores and all data, too")
    operate = commands.add_parser("cli", help="python -m stores.cli, in the cluster")
    operate.add_argument("argument", nargs=argparse.REMAINDER)
    operate.set_defaults(run=cli)
    arguments = root.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
