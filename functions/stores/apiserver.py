"""The API server, by Kubernetes' own package: server-side apply, paged LISTs, watches, errors in its own words."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

from stores import net
from stores.errors import ClusterError
from stores.logs import log

MANAGER = "urumi"  # our field manager
TIMEOUT = (3, 15)  # seconds to connect, to answer
PAGE = 500
WATCH_SECONDS = 300
WATCH_PAUSE = 1.0  # seconds before a watch that ended is begun again

CORE = "/api/v1"
APPS = "/apis/apps/v1"
BATCH = "/apis/batch/v1"
NETWORK = "/apis/networking.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"

Object = dict[str, Any]


class ApiServer:
    """The cluster that KUBECONFIG names or, in a pod, the pod's own."""

    def __init__(self) -> None:
        self._in_cluster = False
        configuration = Configuration()
        configuration.retries = urllib3.Retry(connect=1, read=0, redirect=0)
        try:
            load_incluster_config(client_configuration=configuration)
            self._in_cluster = True
        except ConfigException:
            load_kube_config(client_configuration=configuration)
        self._api = ApiClient(configuration)
        pools = self._api.rest_client.pool_manager
        _load_certificates(pools.connection_pool_kw)
        pools.pool_classes_by_scheme = {**pools.pool_classes_by_scheme, "https": _Pool}
        self._dynamic = DynamicClient(self._api, discoverer=lambda *_: None)  # all paths are known: nothing to discover

    def _apply(self, path: str, body: Object, *, manager: str = MANAGER) -> Object:
        """Server-side apply: creates or corrects, and can be repeated."""
        return self._call(
            "patch", f"{path}/{body['metadata']['name']}", body=body, content_type="application/apply-patch+yaml",
            field_manager=manager, force_conflicts=True,
        )  # fmt: skip

    def _find(self, path: str) -> Object | None:
        try:
            return self._call("get", path)
        except Missing:
            return None

    def _delete(self, path: str) -> None:
        with suppress(Missing):
            self._call("delete", path)

    def _lists(self, *wanted: tuple[str, dict[str, str]]) -> list[list[Object]]:
        """Several LISTs at the same time: together they take as long as the slowest of them."""
        with ThreadPoolExecutor(len(wanted)) as threads:
            return list(threads.map(lambda each: self._list(each[0], **each[1]), wanted))

    def _list(self, path: str, *, label: str | None = None, field: str | None = None) -> list[Object]:
        """All pages of a LIST, without what nobody here asks for: with many stores that is most of it."""
        items = []
        for item in self._pages(path, label=label, field=field):
            item["metadata"].pop("managedFields", None)
            if isinstance(item.get("spec"), dict):
                item["spec"].pop("template", None)
            items.append(item)
        return items

    def _pages(self, path: str, *, label: str | None = None, field: str | None = None) -> Iterator[Object]:
        position: str | None = None
        while True:
            page = self._call(
                "get", path, label_selector=label, field_selector=field, limit=PAGE,
                _continue=position,
            )  # fmt: skip
            yield from page["items"]
            position = page["metadata"].get("continue")
            if not position:
                return

    def changes(self, path: str, *, label: str, state: Callable[[Object], Hashable]) -> Iterator[Object]:
        """Objects under `path` with this label whose state becomes another, and those that go. Never ends.

        What was there before, and what comes anew, is no change. While the API server is away nothing is told; what
        has become another meanwhile is told afterwards, what has gone is not.
        """
        known: dict[str, Hashable] = {}
        version: str | None = None
        while True:
            try:
                for kind, each in self._watch(path, label=label, version=version):
                    version = each["metadata"]["resourceVersion"]
                    if kind == "BOOKMARK":
                        continue
                    uid = each["metadata"]["uid"]
                    is_known, before = uid in known, known.pop(uid, None)
                    if kind != "DELETED":
                        known[uid] = state(each)
                    if kind == "DELETED" or (is_known and known[uid] != before):
                        yield each
            except ClusterError as error:
                log.info("changes cannot be watched", extra={"fields": {"path": path, "error": error.detail}})
                version = None  # what it knew of may be too old for the API server
            time.sleep(WATCH_PAUSE)

    def _watch(self, path: str, *, label: str, version: str | None) -> Iterator[tuple[str, Object]]:
        """(kind, object) for some minutes from `version` on; without it all objects come first, as if they were new."""
        response = self._send(
            "get", path, label_selector=label, watch="true", allow_watch_bookmarks="true", resource_version=version,
            timeout_seconds=WATCH_SECONDS, _request_timeout=(TIMEOUT[0], WATCH_SECONDS + 10),
        )  # fmt: skip
        with suppress(urllib3.exceptions.HTTPError):  # a connection that breaks ends the minutes
            for line in response:
                change = json.loads(line)
                if change["type"] == "ERROR":
                    raise ClusterError(str(change["object"].get("message", "")), cause="cluster-error")
                yield change["type"], change["object"]

    def _call(self, method: str, path: str, **parameters: Any) -> Object:
        """One request. Raises ClusterError, with the API server's own words when it has some."""
        document: Object = json.loads(self._send(method, path, _request_timeout=TIMEOUT, **parameters).data)
        return document

    def _send(self, method: str, path: str, **parameters: Any) -> Any:
        try:
            return self._dynamic.request(method, path, serialize=False, query_params=[], header_params={}, **parameters)
        except (ApiException, DynamicApiError) as error:
            raise _translate(error, path) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"The cluster does not answer: {type(error).__name__}.", cause="cluster-away") from None


class _Connection(urllib3.connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        try:
            return net.connect(self._dns_host, self.port or 443, seconds=TIMEOUT[0])
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error


class _Pool(urllib3.HTTPSConnectionPool):
    """Its connections do not wait a second for a packet that got lost, see stores.net."""

    ConnectionCls = _Connection


def _load_certificates(pool: dict[str, Any]) -> None:
    """Loads the certificates that a pool's connections need, once and for all of them.

    urllib3 would load them again, into one context, at each connection; threads that do so at the same time corrupt
    OpenSSL's memory and the process aborts.
    """
    context = urllib3.util.create_urllib3_context(cert_reqs=pool["cert_reqs"])
    # Python 3.13 wants extensions of a CA that many a cluster's lacks. Chain, dates and name are checked as ever.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    authorities, data = pool.pop("ca_certs", None), pool.pop("ca_cert_data", None)
    certificate, key = pool.pop("cert_file", None), pool.pop("key_file", None)
    if authorities or data:
        context.load_verify_locations(authorities, cadata=data)
    else:
        context.load_default_certs()
    if certificate:
        context.load_cert_chain(certificate, key)
    pool["ssl_context"] = context


class Missing(ClusterError):
    """404: the object is not there."""


class Forbidden(ClusterError):
    """403 that is no quota's."""


class Exists(ClusterError):
    """409 on a create: the object is there already."""


def _translate(error: Any, path: str) -> ClusterError:
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = str(error.reason)
    if error.status == 404:
        return Missing(message)
    if error.status == 409:
        return Exists(message)
    cause = "quota" if "exceeded quota" in message else "cluster-error"
    kind = Forbidden if error.status == 403 and cause != "quota" else ClusterError
    return kind(f"Kubernetes refused {path.rsplit('/', 1)[-1]} ({error.status}): {message}"[:500], cause=cause)
