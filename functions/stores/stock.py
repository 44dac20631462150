"""Warm stores: complete, but nobody's yet, so that an owner gets one in the time it takes to put a name on it.

A claim is one UPDATE in create's own transaction; reconcile then applies identity and host. Nothing of identity is
shared: database password, salts and keys are drawn at a store's birth, the administrator's password at the claim.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from stores.model import Desired, Engine, Phase, Store

CALM = 10.0  # seconds without a request for a store, after which the stock is filled


@dataclass(frozen=True)
class Plan:
    """What brings the stock to its size."""

    add: tuple[Engine, ...]  # a store of each
    retire: tuple[UUID, ...]
    short: int  # complete stores that are missing


def plan(
    stores: Iterable[Store],
    *,
    releases: Mapping[Engine, str],
    sizes: Mapping[Engine, int],
    cap: int,
    demand: Mapping[str, int],
    calm: bool,
) -> Plan:
    """Pure. `sizes` is what the operator wants at least, `demand` how many were asked for lately, `cap` the most.

    A size of 0 drains the stock. Stores of an older release, and those that failed, are never handed out: they go.
    A start takes all the CPU it gets, and whoever claims a store meanwhile would wait for it. So of each engine one is
    made at a time, and none before owners are `calm`, unless the stock is empty. DESIGN.md, “Warm stores”, has figures.
    """
    mine = [store for store in stores if store.owner is None and store.desired is Desired.PRESENT]
    add: list[Engine] = []
    retire: list[UUID] = []
    short = 0
    for engine, release in releases.items():
        kept = [s for s in mine if s.type is engine and s.release == release and s.status is not Phase.FAILED]
        retire += [s.id for s in mine if s.type is engine and s not in kept]
        size = sizes.get(engine, 0)
        target = min(cap, max(size, demand.get(engine, 0))) if size else 0
        kept.sort(key=lambda store: (store.status is not Phase.WARM, store.id))  # what is complete stays
        retire += [store.id for store in kept[target:]]
        complete = sum(store.status is Phase.WARM for store in kept)
        short += max(0, target - complete)
        if len(kept) < target and len(kept) == complete and (calm or not complete):
            add.append(engine)
    return Plan(tuple(add), tuple(retire), short)
