"""Logs are JSON lines that carry the trace and no secret; the trace context follows the W3C's rules."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from stores import engines, logs
from stores.model import Engine, Store
from stores.settings import Settings

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ID = UUID("01936000-0000-7000-8000-0123456789ab")


@pytest.fixture
def written() -> Any:
    """Log something, get the parsed line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.Logger("test")
    logger.addHandler(handler)

    def write(level: str, *arguments: Any, **more: Any) -> dict[str, Any]:
        getattr(logger, level)(*arguments, **more)
        (line,) = stream.getvalue().splitlines()
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    return write


def test_a_line_is_one_json_object_with_the_stores_id(written: Any) -> None:
    line = written("info", "action done", extra={"fields": {"store": ID, "action": "install", "seconds": 1.5}})
    assert line["message"] == "action done"
    assert line["level"] == "INFO"
    assert line["store"] == str(ID)
    assert line["seconds"] == 1.5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])


def test_every_line_carries_the_request_and_its_trace(written: Any) -> None:
    tokens = logs.request_id.set("r-1"), logs.traceparent.set(PARENT)
    try:
        line = written("warning", "hello")
    finally:
        logs.request_id.reset(tokens[0])
        logs.traceparent.reset(tokens[1])
    assert (line["request_id"], line["traceparent"]) == ("r-1", PARENT)


def test_a_line_break_in_a_message_does_not_make_a_second_line(written: Any) -> None:
    assert written("info", "one\ntwo\r\n{\"level\": \"INFO\"}")["message"].startswith("one\ntwo")  # fmt: skip


def test_an_exception_is_part_of_its_line(written: Any) -> None:
    line = written("error", "unexpected", exc_info=ValueError("broken"))
    assert "ValueError: broken" in line["exception"]


def test_configuring_twice_adds_one_handler() -> None:
    logs.log.handlers.clear()
    logs.configure()
    logs.configure()
    assert len(logs.log.handlers) == 1
    assert logs.log.propagate is False
    logs.log.handlers.clear()


def test_a_child_keeps_the_trace_and_gets_a_span_of_its_own() -> None:
    child = logs.new_traceparent(PARENT)
    assert re.fullmatch(r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", child)
    assert child.split("-")[2] != PARENT.split("-")[2]


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n{"forged": 1}',
    ],
)
def test_an_unusable_parent_starts_a_new_trace(parent: str | None) -> None:
    first, second = logs.new_traceparent(parent), logs.new_traceparent(parent)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first)
    assert first.split("-")[1] != second.split("-")[1]


def test_settings_show_no_secret_when_they_are_printed() -> None:
    settings = Settings(database_url=SecretStr("postgresql://app:hunter2@db/urumi"), credentials_key=SecretStr("k3y"))
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert "k3y" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_a_printed_store_shows_no_secret() -> None:
    fields = set(Store.model_fields)
    drawn = {name.replace("-", "_") for recipe in engines.RECIPES.values() for name in recipe.secrets}
    assert not fields & (drawn | {"password", "admin_password", "token", "sealed"})
    assert set(engines.RECIPES) == set(Engine)
