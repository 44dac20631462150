"""The first page: cards, filters, and the dialogs that make and remove stores."""

from __future__ import annotations

import fake_api
import httpx
import pytest
from looking import Open, labels, text_of
from streamlit.testing.v1 import AppTest


def typed(at: AppTest, name: str) -> AppTest:
    """The new store dialog with a name in it."""
    return at.text_input(key="new_name").set_value(name).run()


@pytest.fixture
def dialog(open_app: Open) -> AppTest:
    """The new store dialog, just opened."""
    return open_app().button(key="new_store").click().run()


def test_without_stores_there_is_one_thing_to_do(open_app: Open) -> None:
    at = open_app()
    assert "Your first store is one name away" in text_of(at)
    at.button(key="first_store").click().run()
    assert at.text_input(key="new_name").value == ""


def test_a_card_says_what_the_store_is_and_how_it_is(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("corner-books", age=7200)
    at = open_app()
    text = text_of(at)
    assert "corner-books" in text
    assert ":green-badge[:material/check_circle: Ready]" in text
    assert "ready in 34 s · created 2 h ago" in text
    assert [link.url for link in at.link_button] == ["http://corner-books.localhost:8080"]


def test_metrics_count_stores_by_state(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("one")
    platform.add("two")
    platform.add("three", age=3)
    platform.add("four", forced="failed", error=("timeout", "It took too long."))
    shown = {metric.label: metric.value for metric in open_app().metric}
    assert shown == {"Ready": "2", "Provisioning": "1", "In trouble": "1", "Time to ready": "34 s"}


def test_a_store_that_is_not_ready_has_nothing_to_open(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("corner-books", age=3)
    at = open_app()
    assert not at.get("link_button")
    assert "being set up for" in text_of(at)


def test_a_failed_store_says_why_without_acting_on_markdown(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("corner-books", forced="failed", error=("pull", "cannot pull [x](http://y) *now*"))
    assert r"cannot pull \[x\](http://y) \*now\*" in text_of(open_app())


def test_the_page_moves_fast_only_while_a_store_does(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", age=3)
    at = open_app()
    assert at.session_state["board_moving"] is True
    platform.advance(60)
    assert platform.status(store) == "ready"
    assert at.run().session_state["board_moving"] is False


def test_the_pace_does_not_change_under_an_open_dialog(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("corner-books", age=3)
    at = open_app().button(key="new_store").click().run()
    platform.advance(60)
    assert at.run().session_state["board_moving"] is True


def test_a_status_filter_is_asked_of_the_platform_and_kept_in_the_address(
    open_app: Open, platform: fake_api.FakeApi
) -> None:
    platform.add("good")
    platform.add("bad", forced="failed", error=("x", "y"))
    at = open_app(status="Failed")
    assert labels(at, "page_link") == ["**bad**"]
    assert platform.sent("GET", "/api/stores")[-1].url.params["status"] == "failed"


def test_search_looks_into_every_page_of_the_platform(open_app: Open, platform: fake_api.FakeApi) -> None:
    for number in range(130):
        platform.add(f"shop-{number}", age=1000 + number)
    at = open_app(q="SHOP-129")
    assert labels(at, "page_link") == ["**shop-129**"]


def test_a_search_without_result_says_so(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("good")
    assert "No store matches." in text_of(open_app(q="zebra"))


def test_pages_follow_the_platforms_cursor(open_app: Open, platform: fake_api.FakeApi) -> None:
    for number in range(30):
        platform.add(f"shop-{number:02}", age=1000 + number)
    at = open_app()
    assert labels(at, "page_link")[0] == "**shop-00**"
    at.session_state["stores_page"] = 2
    at.run()
    assert labels(at, "page_link")[0] == "**shop-12**"
    at.session_state["stores_page"] = 3
    at.run()
    assert len(labels(at, "page_link")) == 6


def test_an_admin_sees_the_platform_page_and_a_merchant_does_not(open_app: Open, platform: fake_api.FakeApi) -> None:
    open_app("platform")
    platform.role = "owner"
    with pytest.raises(ValueError, match="platform"):
        open_app("platform")


@pytest.mark.parametrize("page", [None, "activity", "platform", "store"])
def test_a_simulated_cluster_is_labelled_on_every_page(
    open_app: Open, platform: fake_api.FakeApi, page: str | None
) -> None:
    store = platform.add("corner-books")
    assert "Simulated cluster" not in text_of(open_app(page, id=store.id))
    platform.simulated = True
    assert "Simulated cluster" in text_of(open_app(page, id=store.id))


def test_the_dialog_previews_the_address(dialog: AppTest) -> None:
    typed(dialog, "corner-books")
    assert "`http://corner-books.localhost:8080`" in text_of(dialog)
    assert not dialog.button(key="new_create").disabled


def test_the_dialog_says_at_once_what_is_wrong_with_a_name(dialog: AppTest, platform: fake_api.FakeApi) -> None:
    assert dialog.button(key="new_create").disabled
    typed(dialog, "Corner Books")
    assert "Only a to z, 0 to 9 and hyphens" in text_of(dialog)
    assert dialog.button(key="new_create").disabled
    assert not platform.sent("POST")


def test_the_dialog_says_how_much_of_the_quota_is_left(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("one")
    at = open_app().button(key="new_store").click().run()
    assert "4 of 5 stores left" in text_of(at)


def test_without_quota_nothing_can_be_created(open_app: Open, platform: fake_api.FakeApi) -> None:
    for number in range(5):
        platform.add(f"shop-{number}")
    at = open_app().button(key="new_store").click().run()
    typed(at, "one-more")
    assert "All 5 of your stores are in use" in text_of(at)
    assert at.button(key="new_create").disabled


def test_creating_a_store_leads_to_its_page(dialog: AppTest, platform: fake_api.FakeApi) -> None:
    dialog.segmented_control(key="new_engine").set_value("medusa")
    typed(dialog, "corner-books")
    dialog.button(key="new_create").click().run()
    assert [(store.name, store.type) for store in platform.stores] == [("corner-books", "medusa")]
    assert dialog.query_params["id"] == platform.stores[0].id
    assert dialog.title[0].value == "corner-books"
    assert dialog.toast[0].value == "corner-books is on its way"


def test_a_taken_name_is_said_beside_the_name_until_it_is_changed(dialog: AppTest, platform: fake_api.FakeApi) -> None:
    platform.add("corner-books")
    typed(dialog, "corner-books").button(key="new_create").click().run()
    assert "The name corner-books is taken." in text_of(dialog)
    typed(dialog, "corner-books-2")
    assert "is taken" not in text_of(dialog)


@pytest.mark.parametrize(("field", "message"), [("name", "admin is reserved"), ("type", "medusa is switched off")])
def test_a_wrong_field_is_said_beside_the_field(
    dialog: AppTest, platform: fake_api.FakeApi, field: str, message: str
) -> None:
    errors = [{"field": field, "message": message}]
    platform.answer_instead("POST", "/api/stores", fake_api.problem(422, "Wrong.", errors=errors))
    typed(dialog, "corner-books").button(key="new_create").click().run()
    assert f":red[:material/error: {message}]" in text_of(dialog)
    assert not dialog.error


def test_a_rate_limit_is_explained_with_the_time_to_wait(dialog: AppTest, platform: fake_api.FakeApi) -> None:
    platform.answer_instead("POST", "/api/stores", fake_api.problem(429, "One new store a minute.", retry_after=42))
    typed(dialog, "corner-books").button(key="new_create").click().run()
    assert dialog.error[0].value == "One new store a minute. Worth another try in 42 s."


def test_a_lost_answer_can_be_asked_for_again_without_a_second_store(
    dialog: AppTest, platform: fake_api.FakeApi
) -> None:
    platform.answer_instead("POST", "/api/stores", httpx.ReadTimeout("asleep"))
    typed(dialog, "corner-books").button(key="new_create").click().run()
    assert "it will not make a second store" in text_of(dialog)
    platform.instead.clear()
    dialog.button(key="new_create").click().run()
    first, second = (request.headers["Idempotency-Key"] for request in platform.sent("POST"))
    assert first == second
    assert dialog.query_params["id"] == platform.stores[0].id


def test_another_name_gets_another_key(dialog: AppTest, platform: fake_api.FakeApi) -> None:
    platform.answer_instead("POST", "/api/stores", fake_api.problem(503, "The database is away.", retry_after=5))
    typed(dialog, "corner-books").button(key="new_create").click().run()
    typed(dialog, "tea-house").button(key="new_create").click().run()
    first, second = (request.headers["Idempotency-Key"] for request in platform.sent("POST"))
    assert first != second


def test_delete_in_the_menu_asks_for_the_name_first(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    at = open_app()
    at.menu_button(key=f"menu_{store.id}").click("Delete").run()
    assert at.button(key=f"delete_{store.id}").disabled
    at.text_input(key=f"confirm_{store.id}").set_value("corner").run()
    assert at.button(key=f"delete_{store.id}").disabled
    at.text_input(key=f"confirm_{store.id}").set_value("corner-books").run()
    at.button(key=f"delete_{store.id}").click().run()
    assert platform.status(store) == "deleting"
    assert at.toast[0].value == "corner-books is being removed"
    assert "being removed with" in text_of(at)


def test_details_in_the_menu_leads_to_the_store(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    at = open_app()
    at.menu_button(key=f"menu_{store.id}").click("Details").run()
    assert at.title[0].value == "corner-books"


def test_a_store_on_its_way_out_cannot_be_deleted_twice(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books", deleted_at=platform.now)
    assert open_app().menu_button(key=f"menu_{store.id}").options == ["Details"]
