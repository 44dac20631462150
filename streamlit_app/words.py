"""How the dashboard says things: durations, statuses, and other people's text made harmless. No I/O, no widgets."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from client import Platform, Store

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]

NAME_RULE = "3 to 40 characters: a to z, 0 to 9 and hyphens"

ENGINE_ICONS = {"woocommerce": ":material/shopping_bag:", "medusa": ":material/deployed_code:"}


@dataclass(frozen=True)
class Look:
    """How a status is shown."""

    label: str
    icon: str
    color: Colour


LOOKS = {
    "ready": Look("Ready", ":material/check_circle:", "green"),
    "provisioning": Look("Provisioning", ":material/hourglass_top:", "orange"),
    "failed": Look("Failed", ":material/error:", "red"),
    "degraded": Look("Degraded", ":material/warning:", "yellow"),
    "asleep": Look("Asleep", ":material/bedtime:", "blue"),
    "deleting": Look("Deleting", ":material/delete:", "gray"),
    "warm": Look("Warm", ":material/local_fire_department:", "violet"),
}


def look(status: str) -> Look:
    """The look of a status, also of one that this version has never heard of."""
    return LOOKS.get(status) or Look(status.capitalize(), ":material/help:", "gray")


def engine_icon(engine: str) -> str:
    """The icon of an engine, also of one that this version has never heard of."""
    return ENGINE_ICONS.get(engine, ":material/storefront:")


def engine_title(engine: str, platform: Platform) -> str:
    """What an engine is called."""
    return next((each.title for each in platform.engines if each.type == engine), sentence(engine))


def duration(seconds: float) -> str:
    """A duration as people say it: 12 ms, 0.4 s, 41 s, 3 min 5 s, 2 h 10 min, 5 days."""
    if seconds < 0.1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 >= 60 else f"{whole // 3600} h"
    days = whole // 86400
    return "1 day" if days == 1 else f"{days} days"


def measured(seconds: float | None) -> str:
    """A duration that may not have been measured yet."""
    return "none yet" if seconds is None else duration(seconds)


def since(moment: datetime, now: datetime | None = None) -> float:
    """Seconds from a moment until now, never negative: clocks of two machines differ."""
    return max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, without seconds that would only flicker."""
    seconds = since(moment, now)
    unit = 60 if seconds < 3600 else 3600
    return "just now" if seconds < 60 else f"{duration(seconds // unit * unit)} ago"


def ahead(moment: datetime, now: datetime | None = None) -> str:
    """How far away a moment to come is."""
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return "any moment now" if seconds < 5 else f"in {duration(seconds)}"


def wait(seconds: int | None) -> str:
    """When it makes sense to try again, if the platform said so."""
    return "" if seconds is None else f"Worth another try in {duration(max(1, seconds)).replace('.0', '')}."


def plain(text: str) -> str:
    """Text of the cluster or of a user with nothing in it that Markdown would act upon."""
    return re.sub(r"([\\`*_\[\]#$~<>|])", r"\\\1", text)


def field_error(message: str) -> str:
    """What is wrong with an input, to stand beside it."""
    return f":small[:red[:material/error: {plain(message)}]]"


def sentence(reason: str) -> str:
    """A machine's reason as a title: deadline-exceeded, DeadlineExceeded -> Deadline exceeded."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", reason).replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:].lower()


def name_problem(name: str) -> str | None:
    """What is wrong with a store's name, or None. Reserved and taken names only the platform knows."""
    if not re.fullmatch(r"[a-z0-9-]*", name):
        return "Only a to z, 0 to 9 and hyphens: the name becomes part of an address."
    if name.startswith("-") or name.endswith("-"):
        return "It starts and ends with a letter or a digit."
    if not 3 <= len(name) <= 40:
        return f"It has 3 to 40 characters; this has {len(name)}."
    return None


def summary(store: Store) -> str:
    """One line about a store for its card."""
    if store.status == "provisioning":
        if store.attempt > 1:  # a retry's own beginning is not told
            return f"being set up, attempt {store.attempt}"
        return f"being set up for {duration(since(store.created_at))}"
    if store.status == "deleting":
        return "being removed with everything in it"
    if store.status in {"failed", "degraded"}:
        return plain(store.error_message or "no reason was recorded")
    made = f"created {ago(store.created_at)}"
    if store.status == "asleep":
        return f"asleep, its data is kept · {made}"
    if store.time_to_ready_seconds is not None:
        return f"ready in {duration(store.time_to_ready_seconds)} · {made}"
    return made


def as_csv(rows: list[dict[str, object]]) -> str:
    """The rows as CSV. A cell that a spreadsheet would take for a formula gets an apostrophe in front."""

    def harmless(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value

    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [])
    writer.writeheader()
    for row in rows:
        writer.writerow({key: harmless(value) for key, value in row.items()})
    return out.getvalue()
