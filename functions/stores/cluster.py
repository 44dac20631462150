"""Stores on Kubernetes: server-side apply under one field manager, one LIST per kind, no waiting.

What has been done for a store is noted on its namespace (annotations `urumi.dev/…`), after it was done: a kill between
the deed and the note repeats the deed, and every deed can be repeated.
"""

import base64
import http.client
import json
import ssl
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from kubernetes.client import ApiClient
from kubernetes.utils.quantity import parse_quantity

from stores import diagnosis, engines, helm, net
from stores.apiserver import APPS, BATCH, CORE, NETWORK, RBAC, ApiServer, Exists, Forbidden, Object
from stores.errors import ClusterError
from stores.events import STORE_LABEL
from stores.model import Engine, Namespace, Observation, Problem, Release, Store
from stores.settings import Settings, settings

HELM = "helm"  # the field manager that Helm 4 calls itself
WITH_PODS = frozenset({"Deployment", "StatefulSet", "CronJob"})
PLATFORM_LABEL = "urumi.dev/platform"
OWNER_LABEL = "urumi.dev/owner"
PREPARED, RELEASED, IDENTITY = "urumi.dev/prepared", "urumi.dev/release", "urumi.dev/identity"
# Of a store that is nobody's yet: its Ingress as the chart renders it, for a host that is still to come.
ROUTE, HOST_TO_COME = "urumi.dev/ingress", "host-to-come.invalid"
ROUTE_PATIENCE = 5  # seconds
PAGE_PATIENCE = 8.0  # seconds
SECOND_TRY = 0.4  # seconds; there is no third: a slow shop would only become slower
RIGHTS_PATIENCE = 3  # seconds

# Type Pod has no defaults, so a pod without limits is refused instead of being given some.
LIMITS = [
    {"type": "Pod", "max": {"cpu": "4", "memory": "2Gi"}},
    {"type": "PersistentVolumeClaim", "max": {"storage": "20Gi"}},
]

_STATUSES = {
    "deployed": Release.DEPLOYED,
    "failed": Release.FAILED,
    "uninstalling": Release.UNINSTALLING,
    "pending-install": Release.PENDING,
    "pending-upgrade": Release.PENDING,
    "pending-rollback": Release.PENDING,
}


class KubernetesCluster(ApiServer):
    """See model.Cluster for what each method promises."""

    def __init__(self, *, platform: UUID) -> None:
        super().__init__()
        self._platform = str(platform)

    # --- seeing ---

    def observe(self, store: Store) -> Observation:
        namespace = self._find(f"{CORE}/namespaces/{store.namespace}")
        if namespace is None:
            return Observation(volumes=len(self._volumes().get(store.namespace, [])))
        within = f"namespaces/{store.namespace}"
        if is_terminating(namespace):
            return Observation(namespace=Namespace.TERMINATING, volumes=1, problem=what_blocks(namespace))
        if PREPARED not in namespace["metadata"].get("annotations", {}):
            # Our role may not be bound here yet, and what is to be done does not depend on more.
            return Observation(namespace=Namespace.ACTIVE)
        deployments, databases, ingresses, releases = self._lists(
            (f"{APPS}/{within}/deployments", {}),
            (f"{APPS}/{within}/statefulsets", {}),
            (f"{NETWORK}/{within}/ingresses", {}),
            (f"{CORE}/{within}/secrets", {"label": "owner=helm"}),
        )
        seen = _fold(namespace, deployments, databases, ingresses, _release(releases))
        if not seen["workloads"] and seen["release"] is not Release.ABSENT:
            pods, claims, events = self._lists(
                (f"{CORE}/{within}/pods", {}),
                (f"{CORE}/{within}/persistentvolumeclaims", {}),
                (f"{CORE}/{within}/events", {"field": "type=Warning"}),
            )
            seen["problem"] = diagnosis.problem(deployments=deployments, pods=pods, claims=claims, events=events)
        named = seen["identity"] == store.identity == store.sealed_identity
        if seen["workloads"] and named and store.host and seen["host"] == store.host:
            seen["reachable"], seen["problem"] = self._answers(store)
        return Observation(**seen)

    def observe_all(self) -> Mapping[str, Observation]:
        ours = f"{PLATFORM_LABEL}={self._platform}"
        namespaces = {n["metadata"]["name"]: n for n in self._list(f"{CORE}/namespaces", label=ours)}
        deployments = _by_namespace(self._list(f"{APPS}/deployments", label=STORE_LABEL))
        databases = _by_namespace(self._list(f"{APPS}/statefulsets", label=STORE_LABEL))
        ingresses = _by_namespace(self._list(f"{NETWORK}/ingresses", label=STORE_LABEL))
        volumes = self._volumes()
        seen = {}
        for name, namespace in namespaces.items():
            if is_terminating(namespace):
                seen[name] = Observation(namespace=Namespace.TERMINATING, volumes=1)
                continue
            # Helm's own record is a Secret, and nobody may list those of all namespaces: the objects tell as much.
            release = Release.DEPLOYED if deployments[name] else Release.ABSENT
            seen[name] = Observation(**_fold(namespace, deployments[name], databases[name], ingresses[name], release))
        for name, left in volumes.items():
            if name not in seen and name.startswith("store-"):
                seen[name] = Observation(volumes=len(left))
        return seen

    def room(self) -> Mapping[Engine, int]:
        used: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
        for pod in self._pages(f"{CORE}/pods", field="status.phase!=Succeeded,status.phase!=Failed"):
            node = used[pod["spec"].get("nodeName", "")]
            for container in pod["spec"]["containers"]:
                requests = container.get("resources", {}).get("requests", {})
                node[0] += float(parse_quantity(requests.get("cpu", "0")))
                node[1] += float(parse_quantity(requests.get("memory", "0")))
            node[2] += 1
        room = dict.fromkeys(Engine, 0)
        for each in self._list(f"{CORE}/nodes"):
            if each["spec"].get("unschedulable") or not is_ready(each):
                continue
            cpu, memory, pods = used[each["metadata"]["name"]]
            has = each["status"]["allocatable"]
            free_cpu = float(parse_quantity(has["cpu"])) - cpu
            free_memory = (float(parse_quantity(has["memory"])) - memory) / 2**20
            free_pods = int(has["pods"]) - pods
            for engine, recipe in engines.RECIPES.items():
                needs_cpu, needs_memory, needs_pods = recipe.footprint
                fit = min(free_cpu / needs_cpu, free_memory / needs_memory, free_pods / needs_pods)
                room[engine] += max(0, int(fit))
        return room

    def _volumes(self) -> dict[str, list[Object]]:
        """PersistentVolumes by the namespace that claims them."""
        volumes: dict[str, list[Object]] = defaultdict(list)
        for volume in self._list(f"{CORE}/persistentvolumes"):
            volumes[(volume["spec"].get("claimRef") or {}).get("namespace", "")].append(volume)
        return volumes

    def _answers(self, store: Store) -> tuple[bool, Problem | None]:
        """Whether the store's own address gives a shopper a page and leads its owner to the admin, tried as they would.

        Ingress controllers take up to two seconds to learn of a new route; no event tells when, so this asks again.
        They may know the shop's part and not yet the admin's, and then show the shop's “not found” for it.
        """
        until = time.monotonic() + ROUTE_PATIENCE
        paths = ("/", engines.RECIPES[store.type].admin_path)
        with ThreadPoolExecutor(len(paths)) as threads:
            while True:
                found = list(threads.map(lambda path: self._try_address(store.host or "", path), paths))
                problem = next(filter(None, found), None)
                if problem is None or time.monotonic() > until:
                    return problem is None, problem
                time.sleep(0.05)

    def _try_address(self, host: str, path: str) -> Problem | None:
        conf = settings()
        # The dot says that the name is whole: a pod's resolver would try it in all of the cluster's domains first.
        whole = f"{host}." if self._in_cluster else host
        address, port = _split(conf.ingress_address) if conf.ingress_address else (whole, conf.port)
        port = port or (443 if conf.scheme == "https" else 80)
        try:
            status = net.first(
                lambda left: _page(address, port, host=host, path=path, secure=conf.scheme == "https", seconds=left),
                seconds=PAGE_PATIENCE, what="The store", pauses=(SECOND_TRY, PAGE_PATIENCE),
            ).status  # fmt: skip
        except ssl.SSLCertVerificationError as error:
            why = f"The store runs, but its address shows no trusted certificate yet: {error.verify_message}"
            return Problem("unreachable", why[:300])
        except (OSError, http.client.HTTPException) as error:
            return Problem("unreachable", f"The store runs, but its address does not answer yet: {error}"[:300])
        if status == 200 or (path != "/" and status < 400):  # an admin leads those who have not signed in elsewhere
            return None
        what = "its address" if path == "/" else f"its admin at {path}"
        return Problem("unreachable", f"The store runs, but {what} answers {status}.")

    # --- building ---

    def prepare(self, store: Store) -> None:
        labels = self._labels(store)
        self._apply(f"{CORE}/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": store.namespace, "labels": labels | POD_SECURITY}})  # fmt: skip
        if binding := _binding(labels, settings()):
            self._apply(f"{RBAC}/namespaces/{store.namespace}/rolebindings", binding)  # lets us make the rest
            self._wait_for_rights(store.namespace)
        with ThreadPoolExecutor(4) as threads:
            secret = threads.submit(self._secret, store, labels)
            fences = [
                threads.submit(self._apply, f"{path}/namespaces/{store.namespace}/{plural}", body)
                for path, plural, body in _fences(labels, settings())
            ]
            for fence in fences:
                fence.result()
            drawn = secret.result()
        identity = drawn["metadata"].get("annotations", {}).get(IDENTITY, "0")
        self._annotate(store.namespace, {PREPARED: "1", IDENTITY: identity})

    def _wait_for_rights(self, namespace: str) -> None:
        """The API server acts on a new binding a moment after it has stored it; no event tells when."""
        until = time.monotonic() + RIGHTS_PATIENCE
        while time.monotonic() < until:
            with suppress(Forbidden):
                self._find(f"{CORE}/namespaces/{namespace}/secrets/{engines.SECRET_NAME}")
                return
            time.sleep(0.05)

    def _secret(self, store: Store, labels: dict[str, str]) -> Object:
        """The store's secrets as they are, drawn if there are none: a volume remembers its first password."""
        path = f"{CORE}/namespaces/{store.namespace}/secrets"
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": engines.SECRET_NAME,
                "labels": labels,
                "annotations": {IDENTITY: str(store.identity if store.owner else 0)},
            },
            "stringData": engines.draw_secrets(store),
        }
        with suppress(Exists):
            return self._call("post", path, body=body)
        return self._call("get", f"{path}/{engines.SECRET_NAME}")

    def install(self, store: Store) -> None:
        conf = settings()
        what: dict[str, Any] = {
            "release": store.helm_release,
            "chart": conf.charts / engines.RECIPES[store.type].chart,
            "namespace": store.namespace,
            "values": engines.values(conf, store),
        }
        namespace = self._call("get", f"{CORE}/namespaces/{store.namespace}")
        if RELEASED not in namespace["metadata"].get("annotations", {}):
            self._start(store.namespace, helm.template(**what))
        helm.upgrade(**what)
        route = json.dumps(self._ingress(store)) if store.owner is None else None
        self._annotate(store.namespace, {RELEASED: store.release, ROUTE: route})

    def _start(self, namespace: str, manifests: Iterable[Object]) -> None:
        """A chart's objects at the same time and in Helm's name. Helm, who takes one after the other, finds them there.

        What pods need comes first: a pod that is refused for want of it would be tried again only later and later.
        """

        def apply(manifest: Object) -> None:
            version = manifest["apiVersion"]
            group = CORE if version == "v1" else f"/apis/{version}"
            self._apply(f"{group}/namespaces/{namespace}/{_plural(manifest['kind'])}", manifest, manager=HELM)

        with ThreadPoolExecutor(8) as threads:
            for have_pods in (False, True):
                list(threads.map(apply, [each for each in manifests if (each["kind"] in WITH_PODS) is have_pods]))

    def heal(self, store: Store) -> None:
        """Forgets the unfinished revision. Helm's next upgrade takes over its objects, and volumes were never touched.

        `helm uninstall`, the usual cure, would delete claims of the chart, and with them the owner's data.
        """
        path = f"{CORE}/namespaces/{store.namespace}/secrets"
        for record in self._list(path, label=f"owner=helm,name={store.helm_release}"):
            status = record["metadata"].get("labels", {}).get("status", "")
            if _STATUSES.get(status) in (Release.PENDING, Release.UNINSTALLING):
                self._delete(f"{path}/{record['metadata']['name']}")

    def route(self, store: Store) -> None:
        """The chart's Ingress alone: a whole upgrade would take seconds, and restart what just runs."""
        namespace = self._call("get", f"{CORE}/namespaces/{store.namespace}")
        rendered = namespace["metadata"].get("annotations", {}).get(ROUTE) or json.dumps(self._ingress(store))
        for manifest in json.loads(rendered.replace(HOST_TO_COME, store.host or "")):
            manifest["metadata"]["labels"][OWNER_LABEL] = engines.owner_label(store.owner)
            self._apply(f"{NETWORK}/namespaces/{store.namespace}/ingresses", manifest)

    def _ingress(self, store: Store) -> list[Object]:
        """The chart's Ingress for a host that is still to come: rendered ahead, so that no claim waits for Helm."""
        conf = settings()
        values = engines.values(conf, store.model_copy(update={"host": HOST_TO_COME}))
        return helm.template(
            release=store.helm_release, chart=conf.charts / engines.RECIPES[store.type].chart,
            namespace=store.namespace, values=values, only="ingress.yaml",
        )  # fmt: skip

    def personalise(self, store: Store) -> None:
        path = f"{CORE}/namespaces/{store.namespace}/secrets/{engines.SECRET_NAME}"
        secret = self._call("get", path)
        if secret["metadata"].get("annotations", {}).get(IDENTITY) != str(store.identity):
            fresh = {"admin-password": engines.draw_password(), "admin-email": engines.admin_email(store)}
            change = {"metadata": {"annotations": {IDENTITY: str(store.identity)}}, "stringData": fresh}
            secret = self._call("patch", path, body=change, content_type="application/merge-patch+json")
        self._hand_over(store, _decode(secret))
        self._annotate(store.namespace, {IDENTITY: str(store.identity)}, labels=self._labels(store))

    def credentials(self, store: Store) -> dict[str, str]:
        secret = self._call("get", f"{CORE}/namespaces/{store.namespace}/secrets/{engines.SECRET_NAME}")
        data = _decode(secret)
        return {"user": data[engines.RECIPES[store.type].login], "password": data["admin-password"]}

    def _hand_over(self, store: Store, secret: dict[str, str]) -> None:
        """POST /-/identity to a pod of the store; see the engine contract in DESIGN.md."""
        document = {
            "name": store.name,
            "host": store.host,
            "url": engines.store_url(settings(), store.host or ""),
            "admin_email": secret["admin-email"],
            "admin_user": secret["admin-user"],
            "admin_password": secret["admin-password"],
        }
        headers = {"Authorization": f"Bearer {secret['identity-token']}", "Content-Type": "application/json"}
        try:
            with self._inside(store.namespace) as connection:
                connection.request("POST", "/-/identity", json.dumps(document), headers)
                response = connection.getresponse()
                response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"The running store could not be reached: {error}", cause="identity") from None
        if response.status != 204:
            raise ClusterError(f"The running store answered {response.status} to its identity.", cause="identity")

    @contextmanager
    def _inside(self, namespace: str) -> Iterator[http.client.HTTPConnection]:
        """A connection to the store's internal port: by its Service, or by port-forward when we run outside."""
        host = f"internal.{namespace}.svc"
        connection = http.client.HTTPConnection(host, engines.INTERNAL_PORT, timeout=10)
        if not self._in_cluster:
            from kubernetes.client import CoreV1Api
            from kubernetes.stream import portforward

            pods = self._list(f"{CORE}/namespaces/{namespace}/pods", label="urumi.dev/internal=true")
            ready = [p["metadata"]["name"] for p in pods if is_ready(p)]
            if not ready:
                raise ClusterError("No pod of the store is ready to take its identity.", cause="identity")
            # An ApiClient of its own: portforward bends the client it is given for as long as the call takes.
            tunnel = portforward(
                CoreV1Api(ApiClient(self._api.configuration)).connect_get_namespaced_pod_portforward,
                ready[0],
                namespace,
                ports=str(engines.INTERNAL_PORT),
            )
            connection.sock = tunnel.socket(engines.INTERNAL_PORT)
        else:
            connection.sock = net.connect(host, engines.INTERNAL_PORT, seconds=10)
            connection.sock.settimeout(10)
        try:
            yield connection
        finally:
            connection.close()

    def scale(self, store: Store, *, awake: bool) -> None:
        jobs = f"{BATCH}/namespaces/{store.namespace}/cronjobs"
        for job in self._list(jobs):
            change: Object = {"spec": {"suspend": not awake}}
            path = f"{jobs}/{job['metadata']['name']}"
            self._call("patch", path, body=change, content_type="application/merge-patch+json")
        for kind in ("deployments", "statefulsets"):
            path = f"{APPS}/namespaces/{store.namespace}/{kind}"
            for workload in self._list(path):
                change = {"spec": {"replicas": int(awake)}}
                self._call(
                    "patch", f"{path}/{workload['metadata']['name']}", body=change,
                    content_type="application/merge-patch+json",
                )  # fmt: skip

    # --- removing ---

    def uninstall(self, store: Store) -> None:
        helm.uninstall(release=store.helm_release, namespace=store.namespace)

    def delete_namespace(self, namespace: str) -> None:
        self._delete(f"{CORE}/namespaces/{namespace}")

    # --- what it writes on objects ---

    def _labels(self, store: Store) -> dict[str, str]:
        return {
            "app.kubernetes.io/managed-by": "urumi",
            "app.kubernetes.io/part-of": "urumi",
            STORE_LABEL: str(store.id),
            OWNER_LABEL: engines.owner_label(store.owner),
            PLATFORM_LABEL: self._platform,
        }

    def _annotate(
        self, namespace: str, annotations: dict[str, str | None], *, labels: dict[str, str] | None = None
    ) -> None:
        change = {"metadata": {"annotations": annotations, "labels": labels or {}}}
        path = f"{CORE}/namespaces/{namespace}"
        self._call("patch", path, body=change, content_type="application/merge-patch+json")


POD_SECURITY = {
    f"pod-security.kubernetes.io/{mode}": value
    for mode, value in [("enforce", "restricted"), ("enforce-version", "latest"), ("warn", "restricted")]
}


def _plural(kind: str) -> str:
    """The kind's name in paths: NetworkPolicy -> networkpolicies, Ingress -> ingresses."""
    name = kind.lower()
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("s") else f"{name}s"


def _binding(labels: dict[str, str], conf: Settings) -> Object | None:
    """Our own right to work in the namespace, unless we have it everywhere."""
    if not conf.store_role:
        return None
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "urumi-reconcile", "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": conf.store_role},
        "subjects": [{"kind": "ServiceAccount", "name": conf.service_account, "namespace": conf.platform_namespace}],
    }


def _fences(labels: dict[str, str], conf: Settings) -> Iterator[tuple[str, str, Object]]:
    """What fences a store in, whatever its chart does: API path, plural, object."""
    metadata = {"name": "store", "labels": labels}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": conf.store_quota}}
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": LIMITS}}
    deny = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "labels": labels},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    yield CORE, "resourcequotas", quota
    yield CORE, "limitranges", limits
    yield NETWORK, "networkpolicies", deny


def _fold(
    namespace: Object, deployments: list[Object], databases: list[Object], ingresses: list[Object], release: Release
) -> dict[str, Any]:
    notes = namespace["metadata"].get("annotations", {})
    workloads = [*deployments, *databases]
    hosts = [rule.get("host") for ingress in ingresses for rule in ingress["spec"].get("rules", [])]
    return {
        "namespace": Namespace.ACTIVE,
        "prepared": PREPARED in notes,
        "release": release,
        "release_version": notes.get(RELEASED),
        "database": bool(databases) and all(map(is_up, databases)),
        "workloads": bool(deployments) and all(map(is_up, workloads)),
        "asleep": bool(deployments) and all(w["spec"].get("replicas") == 0 for w in workloads),
        "host": hosts[0] if hosts else None,
        "identity": int(notes.get(IDENTITY, "0")),
        "volumes": len(databases),
    }


def is_up(workload: Object) -> bool:
    """All replicas of the newest specification are ready, and there is at least one."""
    wanted, status = workload["spec"].get("replicas", 1), workload.get("status", {})
    newest = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
    return bool(newest and wanted and status.get("readyReplicas", 0) >= wanted <= status.get("updatedReplicas", 0))


def _release(records: list[Object]) -> Release:
    """The newest revision's status, from the labels that Helm keeps on its Secrets."""
    labels = [record["metadata"].get("labels", {}) for record in records]
    newest = max(labels, key=lambda each: int(each.get("version", "0")), default=None)
    return _STATUSES.get(newest.get("status", ""), Release.FAILED) if newest else Release.ABSENT


def is_terminating(namespace: Object) -> bool:
    return "deletionTimestamp" in namespace["metadata"]


def what_blocks(namespace: Object) -> Problem | None:
    """What keeps a namespace from going, once its controller says so."""
    for condition in namespace.get("status", {}).get("conditions", []):
        if condition.get("status") == "True" and "Failure" in condition["type"]:
            message = f"The store's namespace cannot be removed yet: {condition['message']}"
            return Problem("namespace-stuck", message[:300])
    return None


def _by_namespace(objects: Iterable[Object]) -> dict[str, list[Object]]:
    grouped: dict[str, list[Object]] = defaultdict(list)
    for each in objects:
        grouped[each["metadata"]["namespace"]].append(each)
    return grouped


def is_ready(each: Object) -> bool:
    conditions = each.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _decode(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}


def _page(address: str, port: int, *, host: str, path: str, secure: bool, seconds: float) -> http.client.HTTPResponse:
    """What `host` answers at this address to somebody who comes first. Raises OSError, HTTPException."""
    plain = net.connect(address, port, seconds=min(3, seconds))
    with ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain as wire:
        wire.settimeout(seconds)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = wire
        connection.request("GET", path, headers={"Host": host, "User-Agent": "urumi-reconcile"})
        response = connection.getresponse()
        connection.close()
        return response


def _split(address: str) -> tuple[str, int | None]:
    host, _, port = address.rpartition(":")
    return (host, int(port)) if host else (address, None)
