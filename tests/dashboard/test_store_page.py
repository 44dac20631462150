"""One store's page: steps, trouble, credentials, and the end."""

from __future__ import annotations

import fake_api
import httpx
import pytest
from looking import Open, labels, text_of


def test_steps_are_timed_and_the_last_one_is_running(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", age=8)
    at = open_app("store", id=store.id)
    shown = [(status.label, status.state) for status in at.status]
    assert shown[:3] == [
        ("Namespace  :gray[in 0.4 s]", "complete"),
        ("Chart  :gray[in 1.1 s]", "complete"),
        ("Database  :gray[in 6.0 s]", "complete"),
    ]
    assert shown[3][0].startswith("App  :gray[for ")
    assert shown[3][1] == "running"


def test_a_step_that_a_removal_cut_short_does_not_run_for_ever(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", deleted_at=platform.now)
    begun = platform.now.isoformat()
    steps = [
        {"name": "app", "started_at": store.created_at.isoformat(), "ended_at": None, "seconds": None, "detail": None},
        {"name": "remove-namespace", "started_at": begun, "ended_at": None, "seconds": None, "detail": None},
    ]
    answer = httpx.Response(200, json={**platform.describe(store), "steps": steps})
    platform.answer_instead("GET", f"/api/stores/{store.id}", answer)
    at = open_app("store", id=store.id)
    assert [status.state for status in at.status] == ["error", "running"]
    assert at.status[0].label == "App  :gray[stopped after 1 h]"


def test_a_ready_store_can_be_opened(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    at = open_app("store", id=store.id)
    assert "Open store" in labels(at, "link_button")
    assert "ready in 34 s" in text_of(at)
    assert all(status.state == "complete" for status in at.status)


def test_a_failed_store_says_why_and_can_be_retried(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add(
        "corner-books", forced="failed", error=("DeadlineExceeded", "The database did not start."), attempt=3
    )
    at = open_app("store", id=store.id)
    assert at.status[-1].state == "error"
    assert "Deadline exceeded" in text_of(at)
    assert "The database did not start." in at.error[0].value
    assert "gave up on attempt 3" in at.error[0].value
    at.button(key="retry").click().run()
    assert platform.status(store) == "provisioning"
    assert not at.error


def test_a_refused_retry_is_explained(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", forced="failed", error=("x", "y"))
    at = open_app("store", id=store.id)
    platform.answer_instead("POST", "/api/stores", fake_api.problem(409, "Only a failed store can be retried."))
    at.button(key="retry").click().run()
    assert "Only a failed store can be retried." in text_of(at)


def test_trouble_on_the_way_says_that_the_platform_goes_on(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", age=8, error=("ImagePull", "The image is not there yet."))
    at = open_app("store", id=store.id)
    assert "keeps trying by itself, next in 1" in at.warning[0].value


def test_events_are_fetched_only_when_their_tab_is_open(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    open_app("store", id=store.id)
    assert not platform.sent("GET", "/events")
    at = open_app("store", tab="Activity", id=store.id)
    assert list(at.dataframe[0].value["Message"]) == ["A shopper can order", "corner-books was asked for"]


def test_credentials_are_asked_for_on_a_click_only_and_kept_until_hidden(
    open_app: Open, platform: fake_api.FakeApi
) -> None:
    store = platform.add("corner-books")
    at = open_app("store", tab="Access", id=store.id)
    assert not platform.sent("GET", "/credentials")
    at.button(key="reveal").click().run()
    at.run()
    assert [code.value for code in at.code] == ["merchant", "correct-horse-battery"]
    assert len(platform.sent("GET", "/credentials")) == 1
    at.button(key="hide").click().run()
    assert not at.code


def test_credentials_shown_before_can_be_replaced(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", credentials_left=0)
    at = open_app("store", tab="Access", id=store.id)
    at.button(key="reveal").click().run()
    assert "shown already" in at.warning[0].value
    at.button(key="rotate").click().run()
    assert "A new password is drawn" in at.success[0].value
    at.button(key="reveal").click().run()
    assert at.code


def test_there_are_no_credentials_before_the_store_is_ready(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", age=3)
    assert "once the store is ready" in text_of(open_app("store", tab="Access", id=store.id))


def test_deletion_needs_the_name_and_is_watched_to_its_end(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    at = open_app("store", id=store.id)
    assert at.button(key=f"delete_{store.id}").disabled
    at.text_input(key=f"confirm_{store.id}").set_value("corner-books").run()
    at.button(key=f"delete_{store.id}").click().run()
    assert "being removed with" in text_of(at)
    assert "Danger zone" not in [expander.label for expander in at.expander]
    platform.advance(fake_api.TIME_TO_DELETE)
    at.run()
    assert "corner-books is gone" in text_of(at)
    assert "Back to your stores" in labels(at, "page_link")


def test_a_store_that_is_gone_already_counts_as_deleted(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    at = open_app("store", id=store.id)
    at.text_input(key=f"confirm_{store.id}").set_value("corner-books").run()
    platform.answer_instead("DELETE", "/api/stores", fake_api.problem(404, "There is no such store."))
    at.button(key=f"delete_{store.id}").click().run()
    assert at.toast[0].value == "corner-books is being removed"


def test_a_deletion_that_is_not_taken_on_is_explained(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    at = open_app("store", id=store.id)
    at.text_input(key=f"confirm_{store.id}").set_value("corner-books").run()
    platform.answer_instead("DELETE", "/api/stores", httpx.ConnectError("refused"))
    at.button(key=f"delete_{store.id}").click().run()
    assert "The platform does not answer" in text_of(at)


@pytest.mark.parametrize("store_id", ["", "00000000-0000-0000-0000-000000000000", "../audit"])
def test_an_address_without_a_store_says_so(open_app: Open, store_id: str) -> None:
    assert "There is no such store" in text_of(open_app("store", id=store_id))
