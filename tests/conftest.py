"""Fixtures of all tests: a real PostgreSQL from its wheel, a platform of one's own for each test, a whole Urumi."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import Database, Postgres, RunningUrumi, World, environment, folder, forget, start_urumi

FACTS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def facts(pytestconfig: pytest.Config) -> list[str]:
    """What a test measured or counted; shown at the end of the run."""
    return pytestconfig.stash.setdefault(FACTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash.get(FACTS, []):
        terminalreporter.section("measured")
        for line in found:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def running_urumi() -> Iterator[RunningUrumi]:
    """The whole platform with its dashboard, on the simulated cluster; shared by the session."""
    with folder("run") as state:
        urumi = start_urumi(state)
        try:
            yield urumi
        finally:
            left = urumi.stop()
        assert left == [], "Ctrl-C must leave no process"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with folder("test") as state:
        server = Postgres(state)
        yield server
        server.close()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Database:
    """A migrated database that each test's own is copied from."""
    from stores import db

    database = postgres.create()
    db.migrate(database.owner_url, database.app_url, simulator=True)
    return database


@pytest.fixture
def database(postgres: Postgres, template: Database) -> Iterator[Database]:
    database = postgres.create(template=template)
    yield database
    postgres.drop(database)


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    """A platform with a simulated cluster that takes no time, in this process."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("URUMI_", "K_SINK"))]:
        del os.environ[name]
    os.environ.update(environment(database))
    forget()
    yield World(database)
    forget()
    os.environ.clear()
    os.environ.update(before)
