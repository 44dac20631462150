"""Stores' lives on the simulated cluster: every way through, and every way that things go wrong."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from stores import db, lifecycle, simulator
from stores.api import StoreRequest
from stores.errors import Busy, Conflict, Gone, Invalid, NameTaken, NotFound, QuotaExceeded, RateLimited
from stores.model import Action, Desired, Engine, Namespace, Observation, Phase, Store, decide
from tests.support import World, origin


@pytest.mark.parametrize("type", list(Engine))
def test_a_store_is_made_and_removed_without_a_trace(world: World, type: str) -> None:
    store = world.ready(type=type)
    assert store.ready_at is not None
    assert store.time_to_ready == pytest.approx((store.ready_at - store.requested_at).total_seconds(), abs=0.05)
    assert world.namespaces() == [store.namespace]
    assert world.events(store.id) == ["requested", "ready"]

    lifecycle.retire(origin(), store.id)
    store = world.settle(store.id, Phase.DELETED)
    assert store.deleted_at is not None
    assert store.desired is Desired.ABSENT
    assert world.namespaces() == []
    assert world.value("select count(*) from store_credentials") == 0
    assert world.events(store.id) == ["requested", "ready", "retired", "deleted"]
    assert world.actions(store) == ["prepare", "install", "uninstall", "delete-namespace"]
    assert lifecycle.converge(store_id=store.id) is Action.NOTHING


def test_every_step_of_a_life_is_timed_once(world: World) -> None:
    store = world.ready()
    lifecycle.retire(origin(), store.id)
    world.settle(store.id, Phase.DELETED)
    rows = world.rows("select step, ended_at >= started_at from store_steps order by position")
    assert rows == [
        (step, True)
        for step in "namespace chart database app identity address uninstall remove-namespace remove-volumes".split()
    ]


def test_a_name_is_free_again_when_its_store_is_gone(world: World) -> None:
    first = world.ready()
    with pytest.raises(NameTaken):
        world.create()
    lifecycle.retire(origin(), first.id)
    with pytest.raises(NameTaken):
        world.create()
    world.settle(first.id, Phase.DELETED)
    second = world.ready()
    assert second.namespace != first.namespace


# --- deleting at every moment -------------------------------------------------------------------------------------


def turn(store_id: UUID) -> Action:
    with db.store_lock(store_id) as conn:
        return lifecycle.converge_once(conn, store_id)


@pytest.mark.parametrize("turns", range(7))
def test_a_store_can_be_deleted_after_any_turn_of_its_making(world: World, turns: int) -> None:
    store_id = world.create()
    done = [turn(store_id) for _ in range(turns)]
    lifecycle.retire(origin(), store_id)
    store = world.settle(store_id, Phase.DELETED)
    assert world.namespaces() == []
    assert "install" not in world.actions(store)[len(done) :], done
    assert world.value("select count(*) from store_credentials") == 0


@pytest.mark.parametrize("fault", ["image-pull", "volume-pending", "crash", "unreachable", "install-error"])
def test_a_store_that_cannot_become_ready_can_be_deleted(world: World, fault: str) -> None:
    world.fault("corner", fault)
    store_id = world.create()
    lifecycle.converge(store_id=store_id)
    lifecycle.retire(origin(), store_id)
    world.settle(store_id, Phase.DELETED)
    assert world.namespaces() == []


@pytest.mark.parametrize("phase", [Phase.READY, Phase.FAILED, Phase.DEGRADED, Phase.ASLEEP, Phase.DELETING])
def test_a_store_can_be_deleted_in_every_phase(world: World, phase: Phase) -> None:
    store = world.ready()
    if phase is Phase.ASLEEP:
        with db.transaction() as tx:
            db.want_desired(tx, store.id, Desired.ASLEEP)
        world.settle(store.id, Phase.ASLEEP)
    elif phase is Phase.DEGRADED:
        world.fault("corner", "crash")
        world.settle(store.id, Phase.DEGRADED)
    elif phase is Phase.FAILED:
        world.rows("delete from simulator.namespaces")
        world.settle(store.id, Phase.FAILED)
    elif phase is Phase.DELETING:
        lifecycle.retire(origin(), store.id)
    assert world.store(store.id).status is phase
    lifecycle.retire(origin(), store.id)
    world.settle(store.id, Phase.DELETED)
    assert world.namespaces() == []


def test_deleting_twice_is_deleting_once(world: World) -> None:
    store = world.ready()
    first, second = lifecycle.retire(origin(), store.id), lifecycle.retire(origin(), store.id)
    assert (first.version, first.retired_at) == (second.version, second.retired_at)
    world.settle(store.id, Phase.DELETED)
    assert world.events(store.id).count("retired") == 1
    with pytest.raises(NotFound):
        lifecycle.retire(origin(), store.id)


def test_a_delete_in_the_middle_of_an_action_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store_id = world.create()
    install = simulator.SimulatedCluster.install

    def slow_install(self: simulator.SimulatedCluster, store: object) -> None:
        install(self, store)  # type: ignore[arg-type]
        lifecycle.retire(origin(), store_id)

    monkeypatch.setattr(simulator.SimulatedCluster, "install", slow_install)
    world.settle(store_id, Phase.DELETED)
    assert world.namespaces() == []


def test_a_delete_between_a_look_and_what_is_written_about_it_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_id = world.create()
    observe = simulator.SimulatedCluster.observe

    def retired_meanwhile(self: simulator.SimulatedCluster, store: Store) -> Observation:
        seen = observe(self, store)
        if decide(store, seen, store.created_at).action is Action.MARK_READY:
            lifecycle.retire(origin(), store_id)
        return seen

    monkeypatch.setattr(simulator.SimulatedCluster, "observe", retired_meanwhile)
    with pytest.raises(Busy):
        lifecycle.converge(store_id=store_id)
    assert world.store(store_id).status is Phase.DELETING
    assert "ready" not in world.events(store_id)
    world.settle(store_id, Phase.DELETED)


# --- what goes wrong, and how it heals ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", sorted(simulator.FAULTS))
def test_a_fault_is_named_to_the_owner_and_gone_when_it_is_healed(world: World, fault: str) -> None:
    world.fault("corner", fault)
    store_id = world.create()
    lifecycle.converge(store_id=store_id)
    store = world.store(store_id)
    problem = simulator.FAULTS[fault]
    assert store.status is Phase.PROVISIONING
    assert (store.error_reason, store.error_message) == (problem.reason, problem.message)
    lifecycle.converge(store_id=store_id)
    assert world.events(store_id).count("problem") == 1, "told once, not at every look"

    world.fault("corner", None)
    store = world.settle(store_id, Phase.READY)
    assert (store.error_reason, store.error_message) == (None, None)


def test_an_action_that_fails_is_tried_again_later_and_later(world: World) -> None:
    world.fault("corner", "install-error")
    store_id = world.create()
    pauses = []
    for failures in range(1, 8):
        assert lifecycle.converge(store_id=store_id) is Action.WAIT
        store = world.store(store_id)
        assert store.failures == failures
        assert store.error_reason == "install-error"
        assert store.next_try_at is not None
        pauses.append(round((store.next_try_at - store.updated_at).total_seconds()))
        assert lifecycle.converge(store_id=store_id) is Action.WAIT, "the next try is not due"
        assert world.store(store_id).failures == failures
        world.rows("update stores set next_try_at = now()")
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert world.events(store_id).count("problem") == 1

    world.fault("corner", None)
    store = world.settle(store_id, Phase.READY)
    assert (store.failures, store.next_try_at, store.error_reason) == (0, None, None)


@pytest.mark.parametrize("fault", [*sorted(simulator.FAULTS), "install-error", None])
def test_a_store_that_is_not_ready_in_time_fails_with_its_reason_and_a_retry_makes_it_ready(
    world: World, fault: str | None
) -> None:
    world.configure(simulated_speed=1e-9)
    if fault:
        world.configure(simulated_speed=1e9)
        world.fault("corner", fault)
    store_id = world.create()
    lifecycle.converge(store_id=store_id)
    world.rows("update stores set deadline_at = now()")
    store = world.settle(store_id, Phase.FAILED)
    assert store.error_reason == ((fault and {"crash": "crash-loop"}.get(fault, fault)) or "deadline")
    assert store.error_message
    assert world.events(store_id)[-1] == "failed"
    assert lifecycle.converge(store_id=store_id) in lifecycle.SETTLED
    assert world.namespaces() == [store.namespace], "kept for a look at it, and for retry"

    world.fault("corner", None)
    world.configure(simulated_speed=1e9)
    again = lifecycle.retry(origin(), store_id)
    assert again.status is Phase.PROVISIONING
    assert again.attempt == 2
    assert again.deadline_at is not None
    assert again.deadline_at - again.requested_at == timedelta(seconds=600)
    store = world.settle(store_id, Phase.READY)
    assert store.error_reason is None
    assert world.rows("select count(*) from store_steps where attempt = 2 and ended_at is not null") == [(6,)]


def test_a_failed_store_that_comes_up_after_all_is_ready(world: World) -> None:
    world.fault("corner", "crash")
    store_id = world.create()
    lifecycle.converge(store_id=store_id)
    world.rows("update stores set deadline_at = now()")
    world.settle(store_id, Phase.FAILED)
    world.fault("corner", None)
    lifecycle.sweep()
    assert world.settle(store_id, Phase.READY).error_reason is None


def test_only_a_failed_store_can_be_retried(world: World) -> None:
    store = world.ready()
    with pytest.raises(Conflict):
        lifecycle.retry(origin(), store.id)


def test_a_store_whose_part_is_down_is_degraded_until_it_is_back(world: World) -> None:
    store = world.ready()
    world.fault("corner", "crash")
    lifecycle.sweep()
    degraded = world.settle(store.id, Phase.DEGRADED)
    assert degraded.error_reason == "crash-loop"
    world.fault("corner", None)
    lifecycle.sweep()
    back = world.settle(store.id, Phase.READY)
    assert back.error_reason is None
    assert back.time_to_ready == store.time_to_ready, "time to ready is taken once"


def test_a_lost_namespace_fails_the_store_and_is_not_replaced_by_an_empty_shop(world: World) -> None:
    store = world.ready()
    world.rows("delete from simulator.namespaces")
    lifecycle.sweep()
    failed = world.settle(store.id, Phase.FAILED)
    assert failed.error_reason == "namespace-lost"
    lifecycle.sweep()
    assert world.namespaces() == []
    assert world.actions(store) == ["prepare", "install"]


def test_a_retry_after_a_loss_builds_an_empty_shop_with_a_password_of_its_own(world: World) -> None:
    store = world.ready()
    world.rows("delete from simulator.namespaces")
    world.settle(store.id, Phase.FAILED)
    lifecycle.retry(origin(), store.id)
    world.settle(store.id, Phase.READY)
    shown = lifecycle.reveal(origin(), store.id)
    assert shown["password"] == world.value("select password from simulator.namespaces")


def test_a_namespace_that_is_lost_while_the_store_is_made_is_made_again(world: World) -> None:
    world.configure(simulated_speed=1e-9)
    store_id = world.create()
    lifecycle.converge(store_id=store_id)
    world.rows("delete from simulator.namespaces")
    world.configure(simulated_speed=1e9)
    store = world.settle(store_id, Phase.READY)
    assert lifecycle.reveal(origin(), store_id)["password"] == world.value("select password from simulator.namespaces")
    assert world.actions(store) == ["prepare", "install"] * 2


def test_without_a_view_of_the_cluster_the_deadline_still_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from stores.errors import ClusterError

    def away(*_: object) -> None:
        raise ClusterError("The cluster does not answer.")

    store_id = world.create()
    with monkeypatch.context() as patch:
        patch.setattr(simulator.SimulatedCluster, "observe", away)
        assert lifecycle.converge(store_id=store_id) is Action.WAIT
        assert world.store(store_id).status is Phase.PROVISIONING
        world.rows("update stores set deadline_at = now()")
        lifecycle.converge(store_id=store_id)
        assert world.store(store_id).error_reason == "cluster-away"
    assert world.settle(store_id, Phase.READY, Phase.FAILED).status is Phase.FAILED
    lifecycle.retry(origin(), store_id)
    world.settle(store_id, Phase.READY)


def test_a_store_sleeps_and_wakes_with_its_data(world: World) -> None:
    store = world.ready()
    for desired, status in ((Desired.ASLEEP, Phase.ASLEEP), (Desired.PRESENT, Phase.READY)):
        with db.transaction() as tx:
            db.want_desired(tx, store.id, desired)
        world.settle(store.id, status)
    assert world.actions(store) == ["prepare", "install", "sleep", "wake"]
    assert lifecycle.reveal(origin(), store.id)["password"]


# --- orphans ------------------------------------------------------------------------------------------------------


def stray(world: World, name: str, *, platform: str | None = None) -> None:
    world.rows(
        "insert into simulator.namespaces (name, store_id, type, platform, prepared)"
        " values (%s, %s, 'medusa', coalesce(%s::uuid, (select id from platform)), true)",
        name,
        uuid4(),
        platform,
    )


def test_a_namespace_that_no_store_knows_is_removed_after_its_grace_and_not_before(world: World) -> None:
    store = world.ready()
    stray(world, "store-ffffffffffff")
    assert lifecycle.sweep()["strays"] == 1
    assert world.namespaces() == sorted([store.namespace, "store-ffffffffffff"])
    world.rows("update orphans set seen_at = now() - interval '599 seconds'")
    lifecycle.sweep()
    assert "store-ffffffffffff" in world.namespaces()
    world.rows("update orphans set seen_at = now() - interval '601 seconds'")
    assert lifecycle.sweep()["orphan-removed"] == 1
    assert world.namespaces() == [store.namespace]
    lifecycle.sweep()
    assert world.rows("select namespace from orphans") == []


def test_a_namespace_of_another_platform_is_never_touched(world: World) -> None:
    world.configure(orphan_grace=0)
    stray(world, "store-eeeeeeeeeeee", platform=str(uuid4()))
    for _ in range(3):
        lifecycle.sweep()
    assert world.value("select deleting_at from simulator.namespaces") is None
    assert world.rows("select * from orphans") == []


def test_what_is_left_of_a_deleted_store_is_an_orphan(world: World) -> None:
    world.configure(orphan_grace=0)
    store = world.ready()
    world.rows("update stores set status = 'deleted', deleted_at = now(), desired = 'absent'")
    lifecycle.sweep()
    lifecycle.sweep()
    assert world.namespaces() == []
    assert world.actions(store)[-1] == "delete-namespace"


# --- events are hints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_lost_repeated_and_reordered_events_change_nothing(world: World, seed: int) -> None:
    """Three lives in one pot: whatever arrives whenever, a few sweeps later all is as if nothing had been lost."""
    dice = random.Random(seed)
    ids = [world.create(f"corner-{n}") for n in range(3)]
    for round_ in range(2):
        events = [store_id for store_id in ids for _ in range(dice.randrange(4))]  # lost, single and repeated
        dice.shuffle(events)
        for store_id in events:
            found = world.store(store_id)
            if dice.random() < 0.5:
                lifecycle.converge(store_id=store_id)
            else:
                lifecycle.converge(namespace=found.namespace)
            if dice.random() < 0.2:
                lifecycle.sweep()
        if round_ == 0:
            lifecycle.retire(origin(), ids[0])
    for _ in range(4):
        lifecycle.sweep()
    stores = [world.store(store_id) for store_id in ids]
    assert [store.status for store in stores] == [Phase.DELETED, Phase.READY, Phase.READY]
    assert world.namespaces() == sorted(store.namespace for store in stores[1:])
    for store in stores[1:]:
        assert world.actions(store) == ["prepare", "install"]
        assert world.events(store.id) == ["requested", "ready"]
    assert world.actions(stores[0]) in ([], ["prepare", "install", "uninstall", "delete-namespace"])
    assert world.events(ids[0])[-2:] == ["retired", "deleted"]


def test_an_event_about_an_unknown_store_changes_nothing(world: World) -> None:
    assert lifecycle.converge(store_id=uuid4()) is Action.NOTHING
    assert lifecycle.converge(namespace="store-000000000000") is Action.NOTHING
    assert world.value("select count(*) from simulator.actions") == 0


def test_a_sweep_alone_makes_and_removes_stores(world: World) -> None:
    store_id = world.create()
    lifecycle.sweep()
    assert world.store(store_id).status is Phase.READY
    lifecycle.retire(origin(), store_id)
    for _ in range(3):
        lifecycle.sweep()
    assert world.store(store_id).status is Phase.DELETED


# --- limits and idempotency ---------------------------------------------------------------------------------------


def test_a_refused_request_leaves_nothing_but_a_line_in_the_audit_log(world: World) -> None:
    world.configure(stores_per_owner=1)
    world.create()
    before = world.rows("select count(*) from stores union all select count(*) from store_events")
    with pytest.raises(QuotaExceeded):
        world.create("another", key="k")
    assert world.rows("select count(*) from stores union all select count(*) from store_events") == before
    assert world.value("select count(*) from idempotency_keys") == 0
    assert world.rows("select action, outcome, reason, store_name from audit_logs order by id") == [
        ("create", "accepted", None, "corner"),
        ("create", "refused", "quota-exceeded", "another"),
    ]


def test_the_quota_is_each_owners_own_and_a_gone_store_gives_it_back(world: World) -> None:
    world.configure(stores_per_owner=1)
    first = world.ready()
    world.create("of-bob", owner="bob")
    lifecycle.retire(origin(), first.id)
    with pytest.raises(QuotaExceeded):
        world.create("another")
    world.settle(first.id, Phase.DELETED)
    world.create("another")


def test_a_second_store_in_a_minute_is_too_fast_also_when_the_first_is_gone(world: World) -> None:
    first = world.ready()
    lifecycle.retire(origin(), first.id)
    world.settle(first.id, Phase.DELETED)
    world.configure(creation_interval=60)
    with pytest.raises(RateLimited) as refused:
        world.create("another")
    assert 50 < refused.value.retry_after <= 60
    world.rows("update stores set requested_at = requested_at - interval '61 seconds'")
    world.create("another")


def test_a_retry_is_no_creation(world: World) -> None:
    world.configure(creation_interval=60)
    world.fault("corner", "crash")
    store_id = world.create()
    world.rows("update stores set requested_at = requested_at - interval '61 seconds', deadline_at = now()")
    world.settle(store_id, Phase.FAILED)
    lifecycle.retry(origin(), store_id)
    world.create("another")


def test_a_key_gives_the_same_answer_again_whatever_happened_since(world: World) -> None:
    wanted = StoreRequest(name="corner", type=Engine.MEDUSA)
    store_id, _, first = lifecycle.request(origin(), wanted, key="k")
    world.settle(store_id, Phase.READY)
    world.configure(stores_per_owner=1, creation_interval=60)
    again_id, _, again = lifecycle.request(origin(), wanted, key="k")
    assert (again_id, again) == (store_id, first)
    assert world.value("select count(*) from stores") == 1
    with pytest.raises(Invalid):
        lifecycle.request(origin(), StoreRequest(name="other", type=Engine.MEDUSA), key="k")


def test_a_key_is_its_owners_own(world: World) -> None:
    first = world.create("one", owner="alice", key="k")
    assert world.create("two", owner="bob", key="k") != first


def test_a_key_is_forgotten_after_a_day(world: World) -> None:
    world.create("one", key="k")
    world.rows("update idempotency_keys set created_at = now() - interval '25 hours'")
    world.create("two", key="k2")
    assert world.rows("select key from idempotency_keys") == [("k2",)]


# --- passwords ----------------------------------------------------------------------------------------------------


def test_a_password_is_shown_once_and_a_new_one_can_be_drawn(world: World) -> None:
    store_id = world.create()
    with pytest.raises(Conflict):
        lifecycle.reveal(origin(), store_id)
    world.settle(store_id, Phase.READY)
    first = lifecycle.reveal(origin(), store_id)
    assert first["password"] == world.value("select password from simulator.namespaces")
    with pytest.raises(Gone):
        lifecycle.reveal(origin(), store_id)

    lifecycle.rotate(origin(), store_id)
    with pytest.raises(Conflict):
        lifecycle.reveal(origin(), store_id)
    lifecycle.converge(store_id=store_id)
    second = lifecycle.reveal(origin(), store_id)
    assert second["password"] == world.value("select password from simulator.namespaces")
    assert second["password"] != first["password"]
    assert world.actions(world.store(store_id)) == ["prepare", "install", "personalise"]


def test_a_password_that_nobody_looked_at_is_replaced_by_a_new_one(world: World) -> None:
    store = world.ready()
    lifecycle.rotate(origin(), store.id)
    world.rows("update stores set status = 'ready'")
    lifecycle.converge(store_id=store.id)
    assert lifecycle.reveal(origin(), store.id)["password"] == world.value("select password from simulator.namespaces")


def test_a_password_lies_sealed_in_the_database(world: World) -> None:
    store = world.ready()
    password = world.value("select password from simulator.namespaces").encode()
    sealed = bytes(world.value("select sealed from store_credentials where store_id = %s", store.id))
    assert password not in sealed
    assert password in json.dumps(json.loads(lifecycle._fernet().decrypt(sealed))).encode()


# --- owners -------------------------------------------------------------------------------------------------------


def test_another_owners_store_does_not_exist_for_me(world: World) -> None:
    store = world.ready(owner="bob")
    for attempt in (lifecycle.retire, lifecycle.retry, lifecycle.rotate, lifecycle.reveal):
        with pytest.raises(NotFound):
            attempt(origin("alice"), store.id)
    assert world.store(store.id).status is Phase.READY
    refused = world.rows("select action, reason from audit_logs where user_id = 'alice' order by id")
    assert refused == [
        (action, "not-found") for action in ("delete", "retry", "rotate-credentials", "read-credentials")
    ]


def test_an_admin_may_do_everything_and_it_is_noted_as_theirs(world: World) -> None:
    store = world.ready(owner="bob")
    lifecycle.retire(origin("root", "admin"), store.id)
    assert world.value("select user_id from audit_logs where action = 'delete'") == "root"


def test_the_simulated_namespace_shows_what_a_real_one_would(world: World) -> None:
    store = world.ready()
    seen = lifecycle.cluster().observe(store)
    assert (seen.namespace, seen.host, seen.identity) == (Namespace.ACTIVE, "corner.localhost", 1)
    assert seen.reachable
