"""The transition table: every intent, status and view of the cluster, against a table that people can read.

`python tests/unit/test_decide.py` writes the table anew; read its diff before you commit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest

from stores.model import (
    CLUSTER_ACTIONS,
    LOST,
    Action,
    Decision,
    Desired,
    Engine,
    Namespace,
    Observation,
    Phase,
    Problem,
    Release,
    Store,
    decide,
    steps,
)

TABLE = Path(__file__).with_name("decide.txt")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WANTED = "woocommerce-0.1.0-aaaaaaaa"
HOST = "corner.localhost"
PULL = Problem("image-pull", "The image cannot be pulled.")
BEFORE = Problem("install-error", "The last try failed.")

EMPTY = Observation(namespace=Namespace.ACTIVE)
PREPARED = replace(EMPTY, prepared=True)
RUNNING = replace(
    PREPARED, release=Release.DEPLOYED, release_version=WANTED, database=True, workloads=True, host=HOST, identity=1,
    reachable=True, volumes=2,
)  # fmt: skip

VIEWS: dict[str, Observation] = {
    "nothing": Observation(),
    "volumes left": Observation(volumes=2),
    "terminating": Observation(namespace=Namespace.TERMINATING, volumes=2),
    "empty namespace": EMPTY,
    "prepared": PREPARED,
    "pending release": replace(PREPARED, release=Release.PENDING),
    "uninstalling": replace(PREPARED, release=Release.UNINSTALLING, volumes=2),
    "failed release": replace(PREPARED, release=Release.FAILED),
    "other version": replace(RUNNING, release_version="woocommerce-0.0.9-bbbbbbbb"),
    "unprepared": replace(RUNNING, prepared=False),
    "starting": replace(RUNNING, workloads=False, reachable=False, identity=0),
    "crashing": replace(RUNNING, workloads=False, reachable=False, problem=PULL),
    "asleep": replace(RUNNING, workloads=False, reachable=False, asleep=True),
    "other identity": replace(RUNNING, identity=0),
    "other host": replace(RUNNING, host=None),
    "unreachable": replace(RUNNING, reachable=False),
    "running": RUNNING,
}


def store(desired: Desired, status: Phase) -> Store:
    """A store as it usually is with this status."""
    was_ready = status in (Phase.READY, Phase.DEGRADED, Phase.ASLEEP)
    nobodys = status is Phase.WARM
    return Store(
        id=UUID("01936000-0000-7000-8000-000000000001"),
        owner=None if nobodys else "alice",
        name=None if nobodys else "corner",
        host=None if nobodys else HOST,
        type=Engine.WOOCOMMERCE,
        desired=desired,
        status=status,
        namespace="store-000000000001",
        release=WANTED,
        sealed_identity=1 if was_ready else 0,
        deadline_at=NOW + timedelta(minutes=10),
        created_at=NOW,
        requested_at=NOW,
        updated_at=NOW,
        ready_at=NOW if was_ready else None,
    )


def variants(desired: Desired, status: Phase) -> Iterator[Store]:
    """The same with everything else that a row can say, also what it should never say."""
    usual = store(desired, status)
    for owned, sealed, ready_at, overdue, pausing, failing in product((False, True), repeat=6):
        yield usual.model_copy(
            update={
                "owner": "alice" if owned else None,
                "sealed_identity": int(sealed),
                "ready_at": NOW if ready_at else None,
                "deadline_at": NOW + timedelta(minutes=-1 if overdue else 10),
                "next_try_at": NOW + timedelta(seconds=8 if pausing else -8),
                "error_reason": BEFORE.reason if failing else None,
                "error_message": BEFORE.message if failing else None,
            }
        )
    for ago, failures in product((1, 60), (0, 3)):
        claimed = {"from_warm": True, "failures": failures, "requested_at": NOW - timedelta(seconds=ago)}
        yield usual.model_copy(update=claimed | {"ready_at": None})


EVERYTHING = [
    (store, view, decide(store, view, NOW))
    for desired, status in product(Desired, Phase)
    for store in variants(desired, status)
    for view in VIEWS.values()
]


def written(decision: Decision) -> str:
    return decision.action + (f" ({decision.problem.reason})" if decision.problem else "")


def table() -> str:
    """The decisions for stores as they usually are, and for those whose time is up or whose next try is not yet due."""
    blocks: list[tuple[str, dict[str, Store]]] = []
    for desired in Desired:
        blocks.append((f"desired = {desired}", {str(status): store(desired, status) for status in Phase}))
    overdue = {"deadline_at": NOW - timedelta(seconds=1)}
    pausing = {
        "next_try_at": NOW + timedelta(seconds=8),
        "error_reason": BEFORE.reason,
        "error_message": BEFORE.message,
    }
    for title, update in (("past the deadline", overdue), ("before the next try", pausing)):
        stores = {str(status): store(Desired.PRESENT, status).model_copy(update=update) for status in Phase}
        blocks.append((f"desired = present, {title}", stores))
    claimed = {"from_warm": True, "identity": 2, "requested_at": NOW - timedelta(seconds=16)}
    late = store(Desired.PRESENT, Phase.PROVISIONING).model_copy(update=claimed)
    prompt = late.model_copy(update={"requested_at": NOW - timedelta(seconds=1)})
    failing = prompt.model_copy(update={"failures": 3})
    blocks.append(("claimed from stock", {"just now": prompt, "16 s ago": late, "failed three times": failing}))
    lines = [
        "What decide() answers. One block for each intent, one column for each status, one line for each view of the",
        "cluster. In parentheses: the problem that the owner is told.",
    ]
    for title, stores in blocks:
        cells = [["", *stores]]
        cells += [[name, *(written(decide(s, view, NOW)) for s in stores.values())] for name, view in VIEWS.items()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += ["", title, "-" * len(title)]
        lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def test_every_decision_is_the_one_in_the_table() -> None:
    assert table() == TABLE.read_text(encoding="utf-8")


def test_the_table_knows_every_intent_status_and_kind_of_namespace_and_release() -> None:
    assert {(s.desired, s.status) for s, _, _ in EVERYTHING} == set(product(Desired, Phase))
    assert {view.namespace for view in VIEWS.values()} == set(Namespace)
    assert {view.release for view in VIEWS.values()} == set(Release)


def test_every_action_is_decided_somewhere() -> None:
    assert {decision.action for _, _, decision in EVERYTHING} == set(Action)


def test_the_same_arguments_give_the_same_decision() -> None:
    assert all(decide(store, view, NOW) == decision for store, view, decision in EVERYTHING)


def test_a_deleted_store_is_left_alone() -> None:
    assert {d for s, _, d in EVERYTHING if s.status is Phase.DELETED} == {Decision(Action.NOTHING)}


ALIVE = [(s, view, d) for s, view, d in EVERYTHING if s.status is not Phase.DELETED]


def test_a_store_that_shall_be_absent_is_only_ever_taken_apart() -> None:
    allowed = {Action.UNINSTALL, Action.DELETE_NAMESPACE, Action.WAIT, Action.MARK_DELETED}
    assert {d.action for s, _, d in ALIVE if s.desired is Desired.ABSENT} == allowed


def test_a_store_that_shall_live_is_never_taken_apart() -> None:
    destructive = {Action.UNINSTALL, Action.DELETE_NAMESPACE, Action.MARK_DELETED}
    assert not destructive & {d.action for s, _, d in ALIVE if s.desired is not Desired.ABSENT}


def test_a_store_is_gone_only_when_neither_namespace_nor_volume_is_left() -> None:
    gone = [view for _, view, d in ALIVE if d.action is Action.MARK_DELETED]
    assert gone
    assert all(view.namespace is Namespace.ABSENT and view.volumes == 0 for view in gone)


def test_nothing_is_done_to_the_cluster_before_the_next_try_is_due() -> None:
    pausing = [(s, d) for s, _, d in ALIVE if s.next_try_at and s.next_try_at > NOW]
    assert pausing
    assert not {d.action for _, d in pausing} & CLUSTER_ACTIONS


def test_while_a_store_waits_for_its_next_try_its_owner_is_told_why() -> None:
    waiting = [
        d for s, view, d in ALIVE
        if s.next_try_at and s.next_try_at > NOW and s.error_reason and d.action is Action.WAIT
        and decide(s.model_copy(update={"next_try_at": None}), view, NOW).action in CLUSTER_ACTIONS
    ]  # fmt: skip
    assert waiting
    assert all(decision.problem == BEFORE for decision in waiting)


def test_a_shop_with_orders_in_it_is_never_replaced_by_an_empty_one() -> None:
    lost = [
        (s, d)
        for s, view, d in ALIVE
        if s.desired is not Desired.ABSENT and s.ready_at is not None and view.namespace is not Namespace.ACTIVE
    ]
    assert lost
    assert {d for _, d in lost} <= {Decision(Action.MARK_FAILED, LOST), Decision(Action.NOTHING)}


def test_a_failed_store_is_kept_as_it_is_until_its_owner_says_retry() -> None:
    building = {Action.PREPARE, Action.INSTALL, Action.HEAL}
    failed = [d.action for s, _, d in ALIVE if s.status is Phase.FAILED and s.desired is Desired.PRESENT]
    assert failed
    assert not building & set(failed)


def test_a_store_is_ready_only_when_all_of_it_is_there_and_its_address_answers() -> None:
    for s, view, decision in EVERYTHING:
        if decision.action is Action.MARK_READY:
            assert s.owner is not None
            assert s.sealed_identity == s.identity == view.identity
            assert view == replace(RUNNING, host=s.host)


def test_a_store_that_is_being_made_never_comes_to_rest() -> None:
    moving = [d.action for s, _, d in ALIVE if s.status is Phase.PROVISIONING]
    assert moving
    assert Action.NOTHING not in moving


def test_a_store_that_is_not_ready_in_time_fails_with_a_reason() -> None:
    overdue = [
        d for s, _, d in ALIVE
        if s.status is Phase.PROVISIONING and s.desired is Desired.PRESENT and s.deadline_at and s.deadline_at < NOW
    ]  # fmt: skip
    assert {d.action for d in overdue} == {Action.MARK_FAILED, Action.MARK_READY, Action.MARK_WARM}


def test_bad_news_always_comes_with_a_reason_and_a_sentence() -> None:
    for _, _, decision in EVERYTHING:
        if decision.action in (Action.MARK_FAILED, Action.MARK_DEGRADED):
            assert decision.problem is not None
            assert decision.problem.reason
            assert decision.problem.message.endswith(".")


def test_repeating_what_was_achieved_changes_nothing() -> None:
    ready = store(Desired.PRESENT, Phase.READY)
    assert decide(ready, RUNNING, NOW).action is Action.NOTHING
    asleep = store(Desired.ASLEEP, Phase.ASLEEP)
    assert decide(asleep, VIEWS["asleep"], NOW).action is Action.NOTHING
    warm = store(Desired.PRESENT, Phase.WARM)
    assert decide(warm, replace(RUNNING, host=None, identity=0), NOW).action is Action.NOTHING


def test_a_ready_store_stays_ready_when_only_our_own_look_at_its_address_fails() -> None:
    assert decide(store(Desired.PRESENT, Phase.READY), VIEWS["unreachable"], NOW).action is Action.NOTHING


# --- steps --------------------------------------------------------------------------------------------------------


def test_steps_are_done_in_their_order_and_never_before_the_one_before() -> None:
    for s, view, _ in EVERYTHING:
        done = [is_done for _, is_done in steps(s, view)]
        assert done == sorted(done, reverse=True), (s.status, view)


@pytest.mark.parametrize(
    ("view", "done"),
    [
        ("nothing", []),
        ("empty namespace", []),
        ("prepared", ["namespace"]),
        ("starting", ["namespace", "chart", "database"]),
        ("other identity", ["namespace", "chart", "database", "app"]),
        ("unreachable", ["namespace", "chart", "database", "app", "identity"]),
        ("running", ["namespace", "chart", "database", "app", "identity", "address"]),
    ],
)
def test_an_owner_sees_how_far_the_store_is(view: str, done: list[str]) -> None:
    seen = list(steps(store(Desired.PRESENT, Phase.PROVISIONING), VIEWS[view]))
    assert [name for name, _ in seen] == ["namespace", "chart", "database", "app", "identity", "address"]
    assert [name for name, is_done in seen if is_done] == done


@pytest.mark.parametrize(
    ("view", "done"),
    [
        ("running", []),
        ("empty namespace", ["uninstall"]),
        ("terminating", ["uninstall"]),
        ("volumes left", ["uninstall", "remove-namespace"]),
        ("nothing", ["uninstall", "remove-namespace", "remove-volumes"]),
    ],
)
def test_an_owner_sees_how_far_the_removal_is(view: str, done: list[str]) -> None:
    seen = list(steps(store(Desired.ABSENT, Phase.DELETING), VIEWS[view]))
    assert [name for name, _ in seen] == ["uninstall", "remove-namespace", "remove-volumes"]
    assert [name for name, is_done in seen if is_done] == done


def test_a_warm_store_has_no_steps_that_need_an_owner() -> None:
    assert [name for name, _ in steps(store(Desired.PRESENT, Phase.WARM), RUNNING)][-1] == "app"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
