"""The tree of errors and what callers see of each."""

from __future__ import annotations

import json
import logging
import re

import pytest

from stores import errors, http, logs
from stores.errors import UrumiError


def family(kind: type[UrumiError]) -> list[type[UrumiError]]:
    return [kind, *(descendant for child in kind.__subclasses__() for descendant in family(child))]


KINDS = family(UrumiError)


def made(kind: type[UrumiError]) -> UrumiError:
    if issubclass(kind, errors.MethodNotAllowed):
        return kind("A sentence.", allow=["GET", "POST"])
    if issubclass(kind, errors.Invalid):
        return kind("A sentence.", fields={"name": "too short", "type": "unknown"})
    if issubclass(kind, errors.ClusterError):
        return kind("A sentence.", cause="image-pull")
    if issubclass(kind, errors.Retryable):
        return kind("A sentence.", retry_after=41.2)
    return kind("A sentence.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_becomes_problem_json(kind: type[UrumiError]) -> None:
    response = http.problem(made(kind))
    document = json.loads(response.get_data())
    assert response.mimetype == "application/problem+json"
    assert response.status_code == document["status"] == kind.status
    assert document["title"] == kind.title
    assert document["detail"] == "A sentence."
    assert re.fullmatch(r"urn:urumi:problem:[a-z]+(-[a-z]+)*", document["type"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_docstrings_tree_shows_every_error_with_its_status(kind: type[UrumiError]) -> None:
    line = re.search(rf"^.*\b{kind.__name__}\b +(\d{{3}})?", errors.__doc__ or "", re.MULTILINE)
    assert line is not None
    if line[1]:
        assert int(line[1]) == kind.status


def test_every_error_has_its_own_word_for_machines() -> None:
    words = [made(kind).reason for kind in KINDS]
    assert len(set(words)) == len(words)
    assert made(errors.NameTaken).reason == "name-taken"


def test_a_wrong_field_is_named() -> None:
    document = json.loads(http.problem(made(errors.Invalid)).get_data())
    assert document["errors"] == [
        {"field": "name", "message": "too short"},
        {"field": "type", "message": "unknown"},
    ]


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.4, "1"), (4.0, "4"), (4.2, "5"), (59.9, "60")])
def test_a_caller_who_waits_as_long_as_told_is_never_too_early(seconds: float, header: str) -> None:
    told = http.problem(errors.RateLimited("Too fast.", retry_after=seconds)).headers["Retry-After"]
    assert int(told) >= seconds
    assert int(told) - seconds <= 1.5
    assert told.isdigit()
    assert int(told) >= int(header)


def test_headers_that_the_status_calls_for_are_there() -> None:
    assert http.problem(made(errors.MethodNotAllowed)).headers["Allow"] == "GET, POST"
    assert http.problem(made(errors.Unauthorized)).headers["WWW-Authenticate"].startswith("Bearer")
    assert "Retry-After" not in http.problem(made(errors.NotFound)).headers


def test_a_surprise_is_logged_in_full_and_shown_as_a_plain_500(caplog: pytest.LogCaptureFixture) -> None:
    logs.log.propagate = True
    with caplog.at_level(logging.ERROR, logger="urumi"):
        response = http.problem(ZeroDivisionError("password=hunter2"))
    assert response.status_code == 500
    assert "hunter2" not in response.get_data(as_text=True)
    assert caplog.records[0].exc_info is not None


def test_an_error_of_the_cluster_carries_a_cause_for_the_owners_page() -> None:
    assert errors.ClusterError("Helm failed.", cause="install-error").cause == "install-error"
    assert errors.ClusterError("Kubernetes did not answer.").cause == "cluster-error"
