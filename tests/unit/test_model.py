"""Names of stores and of their namespaces."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.model import RESERVED_NAMES, name_problem, namespace_of

RFC_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


@pytest.mark.parametrize(
    "name",
    ["abc", "a-b", "a1b", "123", "0-0", "my-store", "a--b", "7up", "x" * 40, "a" + "-" * 38 + "b", "shop-admin", "xn"],
)
def test_a_name_of_any_legal_shape_is_taken(name: str) -> None:
    assert name_problem(name) is None or len(name) < 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "3 to 40"),
        ("ab", "3 to 40"),
        ("x" * 41, "3 to 40"),
        ("-abc", "begin and end"),
        ("abc-", "begin and end"),
        ("my store", "lower-case"),
        ("my_store", "lower-case"),
        ("my.store", "lower-case"),
        ("Store-1", "lower-case"),
        ("über-shop", "lower-case"),
        ("abc\n", "lower-case"),
        ("\nabc", "lower-case"),
        ("ab\x00c", "lower-case"),
        ("\uff41\uff42\uff43", "lower-case"),  # full-width letters
        ("\u0661\u0662\u0663", "lower-case"),  # arabic digits
        ("xn--caf-dma", "xn--"),
    ],
)
def test_a_name_that_cannot_be_a_host_name_is_refused_with_the_reason(name: str, said: str) -> None:
    assert said in (name_problem(name) or "taken")


@pytest.mark.parametrize("name", sorted(word for word in RESERVED_NAMES if len(word) >= 3))
def test_a_reserved_word_is_refused(name: str) -> None:
    assert "reserved" in (name_problem(name) or "taken")


@pytest.mark.parametrize("name", ["admin-shop", "myadmin", "www2"])
def test_a_reserved_word_inside_a_name_is_fine(name: str) -> None:
    assert name_problem(name) is None


@settings(max_examples=300, database=None, deadline=None, derandomize=True)
@given(st.text(max_size=45) | st.from_regex(r"[a-z0-9-]{1,45}", fullmatch=True))
def test_a_name_is_taken_exactly_when_it_is_a_host_label_of_3_to_40_characters(name: str) -> None:
    legal = RFC_1123_LABEL.match(name) and 3 <= len(name) <= 40
    reserved = name in RESERVED_NAMES or name.startswith("xn--")
    assert (name_problem(name) is None) == bool(legal and not reserved)


def test_a_namespace_is_named_after_the_random_end_of_the_id() -> None:
    assert namespace_of(UUID("01936000-0000-7000-8000-0123456789ab")) == "store-0123456789ab"
