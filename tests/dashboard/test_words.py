"""How durations, names, statuses and other people's text read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import words

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 ms"),
        (0.012, "12 ms"),
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (41, "41 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86400, "1 day"),
        (500000, "5 days"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "just now"), (59, "just now"), (190, "3 min ago"), (3700, "1 h ago"), (90000, "1 day ago")],
)
def test_ages_do_not_flicker_with_every_second(seconds: float, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_a_deadline_that_is_over_is_not_in_minus_three_seconds() -> None:
    assert words.ahead(NOW - timedelta(seconds=3), NOW) == "any moment now"
    assert words.ahead(NOW + timedelta(minutes=7), NOW) == "in 7 min"


@pytest.mark.parametrize("name", ["abc", "my-shop", "a1b", "x" * 40])
def test_good_names_have_no_problem(name: str) -> None:
    assert words.name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ab", "3 to 40"),
        ("x" * 41, "has 41"),
        ("My-shop", "Only a to z"),
        ("my shop", "Only a to z"),
        ("böcker", "Only a to z"),
        ("my.shop", "Only a to z"),
        ("-shop", "starts and ends"),
        ("shop-", "starts and ends"),
        ("shop\n", "Only a to z"),
    ],
)
def test_bad_names_are_told_why(name: str, part: str) -> None:
    assert part in (words.name_problem(name) or "")


def test_text_of_the_cluster_is_not_markdown() -> None:
    assert words.plain("a *b* [c](d) `e` $f$") == r"a \*b\* \[c\](d) \`e\` \$f\$"


@pytest.mark.parametrize("reason", ["DeadlineExceeded", "deadline-exceeded", "deadline_exceeded"])
def test_a_machines_reason_becomes_a_sentence(reason: str) -> None:
    assert words.sentence(reason) == "Deadline exceeded"


def test_a_status_of_a_newer_platform_still_has_a_look() -> None:
    assert words.look("migrating") == words.Look("Migrating", ":material/help:", "gray")
