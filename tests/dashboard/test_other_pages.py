"""Activity and platform."""

from __future__ import annotations

import csv
import io
from unittest.mock import patch

import fake_api
import streamlit as st
import words
from looking import Open, text_of


def test_activity_lists_who_asked_for_what(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    platform.record("create", store)
    platform.record("delete", store, "refused", "It is not yours.")
    shown = open_app("activity").dataframe[0].value
    assert list(shown["Action"]) == ["Delete", "Create"]
    assert list(shown["Reason"]) == ["It is not yours.", ""]


def test_activity_filters_by_action_outcome_and_text(open_app: Open, platform: fake_api.FakeApi) -> None:
    books, tea = platform.add("corner-books"), platform.add("tea-house")
    platform.record("create", books)
    platform.record("create", tea, "refused", "Quota.")
    platform.record("delete", books)
    at = open_app("activity")
    at.pills(key="action").set_value("create").run()
    assert list(at.dataframe[0].value["Store"]) == ["tea-house", "corner-books"]
    at.segmented_control(key="outcome").set_value("refused").run()
    assert list(at.dataframe[0].value["Store"]) == ["tea-house"]
    at.text_input(key="activity_q").set_value("zebra").run()
    assert "Nothing matches." in text_of(at)


def test_a_refused_request_shows_the_name_that_another_entry_knows(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    platform.record("create", store)
    platform.record("read-credentials", store, "refused", "gone")
    platform.audit[0]["store_name"] = None
    shown = open_app("activity").dataframe[0].value
    assert list(shown["Store"]) == ["corner-books", "corner-books"]
    assert list(shown["Action"]) == ["Read credentials", "Create"]


def test_older_activity_is_loaded_on_demand(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    for _ in range(150):
        platform.record("create", store)
    at = open_app("activity")
    assert len(at.dataframe[0].value) == 100
    at.button(key="older").click().run()
    assert len(at.dataframe[0].value) == 150


def test_activity_without_entries_says_so(open_app: Open) -> None:
    assert "Nobody has asked for anything yet." in text_of(open_app("activity"))


def test_the_csv_holds_what_is_shown(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.record("create", platform.add("corner-books"))
    with patch.object(st, "download_button") as button:
        open_app("activity")
    rows = list(csv.DictReader(io.StringIO(button.call_args.args[1])))
    assert [(row["Action"], row["Store"], row["Outcome"]) for row in rows] == [("Create", "corner-books", "Accepted")]


def test_a_cell_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    assert words.as_csv([{"User": "me, myself", "Reason": "=1+1"}]) == 'User,Reason\r\n"me, myself",\'=1+1\r\n'


def test_platform_shows_speed_sweep_and_stock(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.add("corner-books")
    at = open_app("platform")
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown == {
        "Cluster": "Kubernetes",
        "Ready, median": "34 s",
        "Ready, p95": "48 s",
        "Last sweep": "12 s ago",
        "WooCommerce": "2",
        "Medusa": "0",
    }
    assert "1 of 5 stores in use." in text_of(at)
    assert not at.warning


def test_platform_warns_of_a_late_sweep(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.sweep_age = 700
    assert "The sweep is late" in text_of(open_app("platform"))
    platform.sweep_age = None
    at = open_app("platform")
    assert "The sweep is late" in text_of(at)
    assert "No store has become ready yet." in text_of(at)
