"""`make run`: the whole platform as processes of one machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.support import RunningUrumi, eventually, folder, start_urumi


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    with folder("local") as path:
        yield path


@pytest.fixture(scope="module")
def store(state: Path) -> dict[str, Any]:
    """A store that was made during a first run, which has ended since."""
    urumi = start_urumi(state)
    try:
        with urumi.api() as api:
            created = api.post(f"{urumi.create_url}/api/stores", json={"name": "first-one", "type": "woocommerce"})
            assert created.status_code == 202, created.text
            found = wait_for(urumi, api, created.json()["id"])
    finally:
        left = urumi.stop()
    assert left == [], "Ctrl-C must leave no process"
    assert "Stopping." in urumi.log.read_text(encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def second(state: Path, store: dict[str, Any]) -> Iterator[RunningUrumi]:
    """The second run on the same data."""
    assert store["status"] == "ready"
    urumi = start_urumi(state)
    yield urumi
    urumi.stop()


def wait_for(urumi: RunningUrumi, api: httpx.Client, store_id: str, status: str = "ready") -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"{urumi.status_url}/api/stores/{store_id}").json()
        return found if found["status"] == status else None

    found: dict[str, Any] = eventually(reached, seconds=60, every=0.2)
    return found


def shop(url: str) -> httpx.Response:
    """The shop's page; without the DNS of a browser, which knows *.localhost."""
    address = httpx.URL(url)
    assert address.port is not None
    return httpx.get(address.copy_with(host="127.0.0.1"), headers={"Host": f"{address.host}:{address.port}"})


def test_a_second_start_takes_at_most_ten_seconds(second: RunningUrumi, facts: list[str]) -> None:
    facts.append(f"second start of `make run`: {second.seconds:.1f} s")
    assert second.seconds <= 10


def test_data_is_there_after_a_restart(second: RunningUrumi, store: dict[str, Any]) -> None:
    with second.api() as api:
        found = api.get(f"{second.status_url}/api/stores/{store['id']}").json()
    assert found["status"] == "ready"
    assert found["time_to_ready_seconds"] == store["time_to_ready_seconds"]


def test_a_stores_address_opens_a_page_that_says_it_is_simulated(second: RunningUrumi, store: dict[str, Any]) -> None:
    with second.api() as api:
        url = api.get(f"{second.status_url}/api/stores/{store['id']}").json()["url"]
    page = shop(url)
    assert page.status_code == 200
    assert "first-one" in page.text
    assert "Simulated store" in page.text
    assert shop(url.replace("first-one", "no-such-one")).status_code == 404


def test_the_banner_says_that_the_cluster_is_simulated_and_hides_most_of_the_token(second: RunningUrumi) -> None:
    said = second.log.read_text(encoding="utf-8")
    assert "SIMULATED CLUSTER" in said
    assert second.dashboard_url in said
    assert second.token not in said
    assert (second.state / "token").stat().st_mode & 0o077 == 0
    assert (second.state / "env").stat().st_mode & 0o077 == 0


def test_a_killed_reconcile_is_started_again_and_the_store_still_becomes_ready(second: RunningUrumi) -> None:
    def reconcilers() -> list[psutil.Process]:
        return [p for p in second.processes() if "functions/reconcile/main.py" in " ".join(p.cmdline())]

    with second.api() as api:
        created = api.post(f"{second.create_url}/api/stores", json={"name": "second-one", "type": "medusa"})
        before = reconcilers()
        assert before
        for process in before:
            process.send_signal(signal.SIGKILL)
        wait_for(second, api, created.json()["id"])
        assert not {p.pid for p in before} & {p.pid for p in reconcilers()}
        api.delete(f"{second.delete_url}/api/stores/{created.json()['id']}").raise_for_status()
        eventually(
            lambda: api.get(f"{second.status_url}/api/stores/{created.json()['id']}").status_code == 404, seconds=60
        )


def test_ctrl_c_leaves_no_process(second: RunningUrumi) -> None:
    names = [process.name() for process in second.processes()]
    assert any("postgres" in name for name in names)
    assert second.stop() == []
    assert second.process.returncode == 0


def test_a_killed_run_leaves_only_postgresql_and_the_next_one_takes_that_over(
    state: Path, store: dict[str, Any]
) -> None:
    assert store
    urumi = start_urumi(state)
    functions = [process for process in urumi.processes() if process.name() != "postgres"]
    urumi.process.kill()
    urumi.process.wait()
    _, left = psutil.wait_procs(functions, timeout=60)  # gunicorn may end its calls
    assert left == []
    urumi = start_urumi(state)
    assert urumi.stop() == []
