"""What every page shares: the platform on behalf of the user, words for when it does not answer, messages that
outlive a rerun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import auth
import client
import httpx
import streamlit as st
import words


@st.cache_resource
def http() -> httpx.Client:
    """One connection pool for all sessions."""
    return client.open_http()


def api() -> client.Api:
    """The platform on behalf of whoever is looking."""
    return client.Api(http=http(), addresses=client.Addresses.from_environment(), token=auth.token())


def platform() -> client.Platform:
    """The platform's own description, asked for at the start of this run."""
    found: client.Platform = st.session_state["platform"]
    return found


@contextmanager
def waking() -> Iterator[None]:
    """Says so when a call takes long: a function that slept needs a moment."""
    with st.spinner("Waking the platform", show_time=True):
        yield


def tell(message: str, icon: str) -> None:
    """Show a toast on the next full run, so that a rerun or a change of page does not swallow it."""
    st.session_state.setdefault("messages", []).append((message, icon))


def show_messages() -> None:
    """Show what `tell` kept."""
    for message, icon in st.session_state.pop("messages", []):
        st.toast(message, icon=icon)


def explain(error: client.ApiError) -> tuple[str, str]:
    """A failed call as a title and a sentence that says what to do."""
    said = words.plain(str(error))
    match error:
        case client.Unauthorized() if auth.sign_in_configured():
            return "Your sign-in has ended", "Sign in again to go on."
        case client.Unauthorized():
            return (
                "The platform does not accept this token",
                "Set URUMI_TOKEN to a token that the platform knows and start the dashboard again. "
                "In local mode it is in .urumi/env, written by `make run`.",
            )
        case client.Down():
            return (
                "The platform does not answer",
                f"{said} Check that the functions run and that the dashboard was given their addresses.",
            )
        case client.TooSlow():
            return "The platform is slow to wake", f"{said} It is probably still starting; please try again."
        case client.BadAnswer():
            return "The platform answered something unexpected", f"{said} Are dashboard and functions of one version?"
        case client.Unavailable():
            return "The platform's database is away", f"{said} {words.wait(error.retry_after)}".strip()
        case client.TooMany():
            return "Not right now", f"{said} {words.wait(error.retry_after)}".strip()
        case client.NotFound():
            return "There is no such store", "It may be gone, or belong to somebody else."
        case client.Conflict():
            return "Not possible just now", said
        case _:
            return "The platform refused", said


def show_trouble(error: client.ApiError, *, key: str) -> None:
    """Say what went wrong, with a button that runs the page, or the fragment that this stands in, again."""
    title, body = explain(error)
    st.error(body, title=title, icon=":material/cloud_off:")
    if isinstance(error, client.Unauthorized) and auth.sign_in_configured():
        st.button("Sign in again", icon=":material/login:", type="primary", key=f"{key}_sign_in", on_click=st.login)
    else:
        st.button("Try again", icon=":material/refresh:", key=f"{key}_again")
