"""What Prometheus reads. Computed from the database at each scrape, so functions that sleep lose nothing."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stores import db, dead_letters
from stores.model import Engine, Phase

BUCKETS = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0]  # seconds
CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4


def text() -> bytes:
    """All metrics in Prometheus' text format. Raises Unavailable when PostgreSQL is away."""

    class FromDatabase:
        def collect(self) -> Iterator[Metric]:
            yield from _families()

    registry = CollectorRegistry()
    registry.register(FromDatabase())
    return exposition.generate_latest(registry)


def _families() -> list[Metric]:
    with db.connection() as conn:
        rows = db.metrics(conn, BUCKETS)
        age = db.sweep_age(conn)
    stores_total = GaugeMetricFamily("stores_total", "Stores, by status and engine.", labels=["status", "type"])
    known = {(status, engine): count for status, engine, count in rows["stores"]}
    for status in Phase:
        for engine in Engine:
            if status is not Phase.DELETED:
                stores_total.add_metric([status, engine], known.get((status, engine), 0))
    duration = HistogramMetricFamily(
        "provisioning_duration_seconds", "Request to the first answer of the store's own address.", labels=["type"]
    )
    for engine, count, total, counts in rows["durations"]:
        buckets = [(str(le), float(n)) for le, n in zip(BUCKETS, counts, strict=False)] + [("+Inf", float(count))]
        duration.add_metric([engine], buckets, sum_value=total)
    errors = CounterMetricFamily("store_creation_errors_total", "Refused or failed creations.", labels=["reason"])
    for reason, count in rows["errors"]:
        errors.add_metric([reason or "unknown"], count)
    sweep = GaugeMetricFamily("urumi_sweep_age_seconds", "Since the last complete sweep.")
    if age is not None:
        sweep.add_metric([], age)
    letters = GaugeMetricFamily("urumi_dead_letters", "Events that were neither delivered nor sent again.")
    letters.add_metric([], dead_letters.count())
    return [stores_total, duration, errors, sweep, letters]
