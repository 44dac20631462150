"""Urumi on a cluster as `make deploy` installs it: functions from zero, events lost and repeated, rights, addresses."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import yaml

from stores import helm
from tests.bench import cold_starts
from tests.e2e.conftest import INGRESS, kubectl, leftovers, objects
from tests.e2e.knative import FUNCTIONS, SYSTEM, Api, Store, asleep, assert_whole, inside, pods, post_to_broker, run
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("deployed")]

Figure = Callable[[str, float], None]


@pytest.fixture(scope="module")
def shop(api: Api) -> Store:
    """A store that is ready, for the tests that only look on."""
    return api.ready(api.create())


# --- from nothing to a store ---------------------------------------------------------------------------------------


def test_deploying_again_changes_nothing() -> None:
    kinds = "ksvc,broker,trigger,sinkbinding,cronjob,httproute,statefulset,secret,configmap,networkpolicy"

    def generations() -> dict[str, Any]:
        everything = objects(f"{kinds},ingress,service,serviceaccount", "-n", SYSTEM)
        everything += objects("deployment", "-n", SYSTEM, "-l", "app.kubernetes.io/instance=urumi")
        everything += objects("job", "-n", SYSTEM, "-l", "app.kubernetes.io/instance=urumi")
        return {
            f"{o['kind']}/{o['metadata']['name']}": (
                o["metadata"]["uid"],
                o["metadata"].get("generation"),
                o.get("data"),
            )
            for o in everything
        }

    before = generations()
    run("deploy")
    assert generations() == before


def test_the_api_has_one_address_that_finds_each_function(api: Api) -> None:
    assert api.http.get("/api/health").json()["status"] == "ok"
    assert api.http.post("/api/stores", json={}).status_code == 422
    assert api.http.delete(f"/api/stores/{uuid4()}").status_code == 404
    assert api.http.get("/metrics").text.startswith("# HELP")
    assert api.http.get("/api/stores", headers={"Authorization": ""}).status_code == 401
    assert api.http.post("/dead-letters").status_code == 404


def window(function: str) -> float:
    """Seconds without a request after which Knative lets a function sleep."""
    service = json.loads(kubectl("get", "ksvc", function, "-n", SYSTEM, "-o", "json").stdout)
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    delay = annotations.get("autoscaling.knative.dev/scale-down-delay", "0s")
    return sum(
        float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
        for text in (annotations.get("autoscaling.knative.dev/window", "60s"), delay)
    )


def test_functions_at_zero_bring_and_remove_a_store_and_go_back_to_zero(api: Api, figure: Figure) -> None:
    # Of reconcile, which the sweep calls once a minute, the last pod is always on its way out.
    others = [function for function in FUNCTIONS if function != "reconcile"]
    eventually(lambda: asleep("reconcile") and not any(map(pods, others)), seconds=360, every=0.5)
    began = time.monotonic()
    last = {}
    store = api.create()
    last["create"] = time.monotonic()
    figure("all at zero: seconds from POST to 202", last["create"] - began)
    api.store(store)
    figure("all at zero: seconds from GET to its answer", time.monotonic() - last["create"])
    ready = api.ready(store)
    last["status"] = time.monotonic()
    figure("all at zero: seconds from request to ready", ready["time_to_ready_seconds"])

    assert api.http.delete(f"/api/stores/{store['id']}").status_code == 202
    last["delete"] = time.monotonic()
    figure("all at zero: seconds from DELETE to 202", last["delete"] - last["status"])
    eventually(lambda: not any(leftovers(store["namespace"]).values()), seconds=180, every=0.5)
    last["reconcile"] = time.monotonic()
    figure("all at zero: seconds from DELETE to gone", last["reconcile"] - last["delete"])

    awake = set(FUNCTIONS)
    while awake:
        for function in [each for each in awake if asleep(each)]:
            seconds = time.monotonic() - last[function]
            figure(f"{function}: seconds from its last call back to zero", seconds)
            awake.remove(function)
        for function in awake:
            # Between two looks at it the sweep, once a minute, may have called reconcile again.
            patience = window(function) + 45 + (60 if function == "reconcile" else 0)
            assert time.monotonic() - last[function] < patience, f"{function} is still awake"
        time.sleep(0.5)


def test_each_function_answers_from_zero(figure: Figure) -> None:
    measured = cold_starts.measure(10, INGRESS, seconds=900)
    for function, starts in measured.items():
        for seconds in starts:
            figure(f"{function} from zero: seconds to an answer", seconds)
        assert len(starts) == 10, f"{function} slept {len(starts)} times only"
        assert statistics.median(starts) < 5


# --- events are hints ----------------------------------------------------------------------------------------------


def request_event(store: Store) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "type": "dev.urumi.store.requested",
        "source": "/functions/create",
        "subject": store["id"],
        "id": str(uuid4()),
    }


def test_an_event_that_comes_twice_changes_nothing(api: Api, shop: Store) -> None:
    before, history = api.store(shop), api.http.get(f"/api/stores/{shop['id']}/events").json()
    event = request_event(shop)
    post_to_broker(event)
    post_to_broker(event)
    time.sleep(10)
    assert api.store(shop) == before
    assert api.http.get(f"/api/stores/{shop['id']}/events").json() == history


def test_the_sweep_alone_brings_a_store_when_every_event_is_lost(api: Api, figure: Figure) -> None:
    triggers = {name: json.loads(kubectl("get", "trigger", name, "-n", SYSTEM, "-o", "json").stdout)
                for name in ("requests", "changes")}  # fmt: skip
    kubectl("delete", "trigger", "-n", SYSTEM, *triggers)
    try:
        store = api.create()
        ready = api.ready(store, seconds=400)
        figure("sweep alone: seconds from request to ready", ready["time_to_ready_seconds"])
    finally:
        for trigger in triggers.values():
            kept = {"name": trigger["metadata"]["name"], "namespace": SYSTEM, "labels": trigger["metadata"]["labels"]}
            kubectl("apply", "-f", "-", stdin=yaml.safe_dump(trigger | {"metadata": kept, "status": {}}))
        kubectl("wait", "trigger", "-n", SYSTEM, *triggers, "--for=condition=Ready", "--timeout=120s")
    assert_whole(api)
    api.delete(store)


def test_a_restart_of_the_broker_costs_no_store(api: Api, figure: Figure) -> None:
    store = api.create()
    kubectl("delete", "pod", "-n", "knative-eventing", "-l", "messaging.knative.dev/role=dispatcher", "--wait=false")
    kubectl("delete", "pod", "-n", "knative-eventing", "-l", "eventing.knative.dev/brokerRole", "--wait=false")
    ready = api.ready(store, seconds=400)
    figure("broker restarted: seconds from request to ready", ready["time_to_ready_seconds"])
    assert_whole(api)
    api.delete(store)


def test_what_cannot_be_delivered_is_kept_and_can_be_sent_again(api: Api, shop: Store) -> None:
    """A wrong subject is refused with 400, which no repetition cures."""
    event = request_event(shop) | {"subject": "nobody"}
    post_to_broker(event)
    shown = eventually(lambda: "nobody" in (text := inside("dead-letters", "list")) and text, seconds=60, every=3)
    (letter,) = [line.split()[0] for line in shown.splitlines() if " nobody " in line]
    assert "urumi_dead_letters" in api.http.get("/metrics").text
    assert inside("dead-letters", "replay", letter).strip() == f"sent again: {letter}"


# --- rights --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def as_reconcile(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """kubectl with nothing but reconcile's own token; returns what it says."""
    assert api.http.get("/api/health").status_code == 200
    token = kubectl("create", "token", "urumi-reconcile", "-n", SYSTEM, "--duration=15m").stdout.strip()
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "yaml").stdout)
    config["users"][0]["user"] = {"token": token}
    file = tmp_path_factory.mktemp("kube") / "config"
    file.write_text(yaml.safe_dump(config))

    def call(*arguments: str, stdin: str | None = None) -> str:
        command = [helm.binary("kubectl"), "--kubeconfig", str(file), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        return done.stderr if done.returncode else f"ALLOWED: {done.stdout}"

    return call


REFUSED = {
    "reads secrets of kube-system": "get secrets -n kube-system",
    "reads the platform's own secrets": f"get secrets -n {SYSTEM}",
    "reads secrets of all namespaces": "get secrets -A",
    "creates a pod in default": "run evil --image=evil -n default",
    "creates a pod in a store": "run evil --image=evil -n {store}",
    "runs a command in a store's pod": "exec -n {store} database-0 -- true",
    "creates a deployment in the platform": f"create deployment evil --image=evil -n {SYSTEM}",
    "binds cluster-admin everywhere": "create clusterrolebinding e --clusterrole=cluster-admin --user=e",
    "binds cluster-admin in a store": "create rolebinding e --clusterrole=cluster-admin --user=e -n {store}",
    "gives the stores' role to somebody else": "create rolebinding e --clusterrole=urumi-store --user=e -n {store}",
    "gives itself the stores' role in the platform": "create rolebinding e --clusterrole=urumi-store"
    f" --serviceaccount={SYSTEM}:urumi-reconcile -n {SYSTEM}",
    "gives itself the stores' role in kube-system": "create rolebinding e --clusterrole=urumi-store"
    f" --serviceaccount={SYSTEM}:urumi-reconcile -n kube-system",
    "strips a store's Pod Security": "label namespace {store} {psa}/enforce-",
    "weakens a store's Pod Security": "label namespace {store} {psa}/enforce=privileged --overwrite",
    "hides a store's Pod Security warnings": "label namespace {store} {psa}/warn=privileged --overwrite",
    "makes one store another": "label namespace {store} urumi.dev/store=another --overwrite",
    "calls the platform a store": f"label namespace {SYSTEM} app.kubernetes.io/managed-by=urumi",
    "calls default a store": "label namespace default app.kubernetes.io/managed-by=urumi urumi.dev/store=x",
    "deletes the platform": f"delete namespace {SYSTEM} --wait=false",
    "deletes kube-public": "delete namespace kube-public --wait=false",
    "creates a namespace of another name": "create namespace evil",
    "creates a namespace that only sounds like a store": "create namespace store-0123456789ab",
}  # fmt: skip


@pytest.mark.parametrize("deed", REFUSED)
def test_reconciles_token_is_refused_when_it(deed: str, as_reconcile: Callable[..., str], shop: Store) -> None:
    said = as_reconcile(*REFUSED[deed].format(store=shop["namespace"], psa="pod-security.kubernetes.io").split())
    assert "orbidden" in said or "denied request" in said, said


def test_reconciles_token_may_look_after_a_store(as_reconcile: Callable[..., str], shop: Store) -> None:
    for verb in ("get", "create", "update", "patch", "delete"):
        for what in ("secrets", "deployments.apps", "networkpolicies.networking.k8s.io"):
            assert as_reconcile("auth", "can-i", verb, what, "-n", shop["namespace"]).startswith("ALLOWED: yes")


Rights = dict[tuple[str, str], set[str]]  # (resource, the names it is limited to) -> verbs


def granted(account: str, namespace: str) -> Rights:
    """What the API server says that an account may do with objects."""
    listed = kubectl("auth", "can-i", "--list", "--as", f"system:serviceaccount:{SYSTEM}:{account}", "-n", namespace)
    rights: Rights = defaultdict(set)
    for line in listed.stdout.splitlines()[1:]:
        resource, _urls, names, verbs = re.fullmatch(r"(\S*)\s+\[(.*)]\s+\[(.*)]\s+\[(.*)]", line).groups()  # type: ignore[union-attr]
        if resource:
            rights[resource, names] |= set(verbs.split())
    return dict(rights)


def documented() -> dict[tuple[str, str], Rights]:
    """docs/rights.md: (heading of the table's first column, account) -> rights."""
    tables: dict[tuple[str, str], Rights] = {}
    heading = ""
    for line in (ROOT / "docs" / "rights.md").read_text(encoding="utf-8").splitlines():
        cells = [re.findall("`([^`]+)`", cell) or cell.strip() for cell in line.split("|")[1:-1]]
        match cells:
            case [str() as first, "Resources", "Named", "Verbs"]:
                heading = first
            case [[account], resources, names, verbs]:
                rights = tables.setdefault((heading, account), defaultdict(set))
                for resource in resources if isinstance(resources, list) else []:
                    rights[resource, " ".join(names)] |= set(verbs)
    return tables


def test_the_rights_of_each_account_are_those_in_the_table(shop: Store) -> None:
    anybody = granted("nobody-has-made-this-account", "default")
    assert all(resource.startswith("selfsubject") for resource, _ in anybody), anybody
    tables = documented()
    accounts = {each["metadata"]["name"] for each in objects("serviceaccounts", "-n", SYSTEM)}
    assert {account for _, account in tables} == accounts - {"default"}
    for account in accounts:
        everywhere = tables.get(("Account", account), {})
        for namespace in ("default", "kube-system", SYSTEM):
            assert granted(account, namespace) == anybody | everywhere, f"{account} in {namespace}"
        in_a_store = tables.get(("Account in a store", account), {})
        both = {what: everywhere.get(what, set()) | in_a_store.get(what, set()) for what in everywhere | in_a_store}
        assert granted(account, shop["namespace"]) == anybody | both, f"{account} in a store"


def test_no_function_but_reconcile_holds_a_token(api: Api) -> None:
    api.http.get("/api/health")
    for function in ("create", "delete", "status"):
        for pod in pods(function):
            assert not any("projected" in volume for volume in pod["spec"]["volumes"]), function
