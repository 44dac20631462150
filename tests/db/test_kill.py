"""kill -9 before and after every single write: what is left is always enough to go on from.

The writes are enumerated by an undisturbed run, not sampled: every INSERT, UPDATE, DELETE and COMMIT of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from queue import SimpleQueue
from typing import Any

import pytest

from tests.support import FUNCTIONS, ROOT, Database, Postgres, clean_environment, environment

AT_ONCE = 2
SCENARIOS = ["request", "create", "claim", "give up", "retry", "sleep", "rotate", "retire", "delete", "orphan"]


class Player:
    """A warm process (kills.py) with a database of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        more = {"URUMI_ORPHAN_GRACE": "0", "URUMI_LOG_LEVEL": "CRITICAL"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.db.kills"],
            env=clean_environment(**environment(database, **more), PYTHONPATH=f"{FUNCTIONS}:{ROOT}"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(self, scenario: str, name: str, *, number: int | None = None, after: bool = False) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        command = {"scenario": scenario, "name": name, "number": number, "after": after}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def players(postgres: Postgres, template: Database) -> Iterator[list[Player]]:
    players = [Player(postgres.create(template=template)) for _ in range(AT_ONCE)]
    yield players
    for player in players:
        player.close()
        postgres.drop(player.database)


names = count()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_write_loses_nothing(players: list[Player], scenario: str, facts: list[str]) -> None:
    undisturbed = players[0].play(scenario, f"corner-{next(names)}")
    assert undisturbed["ended"] == 0, undisturbed
    (writes,) = undisturbed["writes"]
    assert "COMMIT" in writes or scenario == "orphan"
    facts.append(f"kill -9 during {scenario}: before and after each of {len(writes)} writes")

    idle: SimpleQueue[Player] = SimpleQueue()
    for player in players:
        idle.put(player)

    def kill_at(moment: tuple[int, bool]) -> tuple[tuple[int, bool], dict[str, Any]]:
        player = idle.get()
        try:
            return moment, player.play(scenario, f"corner-{next(names)}", number=moment[0], after=moment[1])
        finally:
            idle.put(player)

    moments = [(number, after) for number in range(len(writes)) for after in (False, True)]
    with ThreadPoolExecutor(AT_ONCE) as workers:
        ends = list(workers.map(kill_at, moments))
    for (number, after), end in ends:
        where = f"killed {'after' if after else 'before'} write {number}: {writes[number]}"
        assert "error" not in end, f"{where}: {end}"
        assert end["ended"] == -9, where
        assert end["written"] in ([0, 0, 0, 0], [1, 1, 1, 1]), f"{where}: half a request is in the database"
        assert end["state"] == undisturbed["state"], where


def test_the_scenarios_end_as_they_should(players: list[Player]) -> None:
    """So that the comparison above compares the right thing."""
    ends = {s: players[0].play(s, f"corner-{next(names)}")["state"] for s in SCENARIOS}
    assert {s: end["store"]["status"] for s, end in ends.items()} == {
        "request": "ready",
        "create": "ready",
        "claim": "ready",
        "give up": "failed",
        "retry": "ready",
        "sleep": "asleep",
        "rotate": "ready",
        "retire": "deleted",
        "delete": "deleted",
        "orphan": "deleted",
    }
    assert ends["create"]["done in the cluster"] == ["prepare", "install"]
    assert ends["claim"]["done in the cluster"] == ["prepare", "install", "personalise", "route"]
    assert ends["claim"]["sealed password opens the shop"] == [True]
    assert ends["create"]["sealed password opens the shop"] == [True]
    assert ends["rotate"]["sealed password opens the shop"] == [True]
    assert ends["delete"]["namespaces"][0]["removed"]
    assert ends["orphan"]["namespaces"][0]["removed"]
