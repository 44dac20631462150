"""One store, by ?id=: how it is, what the platform did for it, its credentials, and its end."""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import client
import dialogs
import session
import streamlit as st
import words

TABS = ["Overview", "Activity", "Access"]

State = Literal["complete", "error", "running"]


def timeline(store: client.Store) -> None:
    """The timed steps of the latest attempt, and of the removal."""
    for step, following in zip(store.steps, [*store.steps[1:], None], strict=True):
        state, took, seconds = outcome(store, step, following)
        label = f"{words.sentence(step.name)}  :gray[{took} {words.duration(seconds)}]"
        status = st.status(label, state=state, type="step")
        status.caption(words.plain(step.detail or f"Began at {clock(step.started_at)}."))


def outcome(store: client.Store, step: client.Step, following: client.Step | None) -> tuple[State, str, float]:
    """How a step stands, and for how long it ran."""
    if step.seconds is not None:
        return "complete", "in", step.seconds
    # What never ended but was followed by another step, or by failure, was given up at that moment.
    if following:
        return "error", "stopped after", words.since(step.started_at, following.started_at)
    if store.status == "failed":
        return "error", "stopped after", words.since(step.started_at, store.updated_at)
    return "running", "for", words.since(step.started_at)


def clock(moment: datetime) -> str:
    """A time of day as the reader's own clock has it."""
    zone = ZoneInfo(st.context.timezone) if st.context.timezone else UTC
    return f"{moment.astimezone(zone):%H:%M:%S}"


def trouble(store: client.Store) -> None:
    """Why the store is not as it should be, and what happens next."""
    if not store.error_message and store.status != "failed":
        return
    cause = words.plain(store.error_message or "No reason was recorded.")
    title = words.sentence(store.error_reason or "something went wrong")
    if store.status == "failed":
        st.error(
            f"{cause}\n\nThe platform gave up on attempt {store.attempt}. Retry starts another.",
            title=title,
            icon=":material/error:",
        )
        if st.button("Retry", icon=":material/refresh:", type="primary", key="retry"):
            retry(store)
    else:
        next_try = f", next {words.ahead(store.next_try_at)}" if store.next_try_at else ""
        waiting = store.status == "provisioning" and store.deadline_at
        until = f" and gives up {words.ahead(store.deadline_at)}" if waiting and store.deadline_at else ""
        st.warning(
            f"{cause}\n\nThe platform keeps trying by itself{next_try}{until}.",
            title=title,
            icon=":material/warning:",
        )


def retry(store: client.Store) -> None:
    """Have the platform try again."""
    try:
        with session.waking():
            session.api().retry(store.id)
    except client.ApiError as error:
        title, body = session.explain(error)
        st.error(body, title=title, icon=":material/error:")
        return
    session.tell(f"{store.name} is tried again", ":material/refresh:")
    st.rerun()


def overview(store: client.Store) -> None:
    """The facts."""
    facts = {
        "Engine": words.engine_title(store.type, session.platform()),
        "Address": store.url or f"{words.plain(store.host)} (when ready)",
        "Created": words.ago(store.created_at),
    }
    if store.time_to_ready_seconds is not None:
        stock = ", from warm stock" if store.from_warm else ""
        facts["Ready in"] = words.duration(store.time_to_ready_seconds) + stock
    facts |= {"Owner": f"`{store.owner}`", "Namespace": f"`{store.namespace}`"}
    if store.helm_release:
        facts["Helm release"] = f"`{store.helm_release}`"
    st.table(facts, border="horizontal", width="content", alt="Facts about the store")


def activity(store: client.Store) -> None:
    """What happened to the store, newest first."""
    try:
        events = session.api().events(store.id)
    except client.ApiError as error:
        session.show_trouble(error, key="events")
        return
    if not events:
        st.caption("Nothing has happened yet.")
        return
    st.dataframe(
        [{"When": event.time, "What": words.sentence(event.type), "Message": event.message} for event in events],
        hide_index=True,
        column_config={
            "When": st.column_config.DatetimeColumn(format="distance", width="small"),
            "What": st.column_config.TextColumn(width="small"),
            "Message": st.column_config.TextColumn(width="large"),
        },
        alt="What happened to the store, newest first",
    )


def access(store: client.Store) -> None:
    """The admin's credentials: revealed on a click, once."""
    if store.status not in {"ready", "degraded", "asleep"}:
        st.caption("There is something to sign in to once the store is ready.")
        return
    slot = st.empty()
    if f"credentials_{store.id}" in st.session_state:
        with slot.container():
            credentials(store)
        return
    with slot.container():
        st.caption(
            "The admin's user and password are shown once, and that is recorded. A new password replaces the old "
            "one and ends every session of the admin."
        )
        with st.container(horizontal=True):
            reveal = st.button("Reveal", icon=":material/visibility:", type="primary", key="reveal")
            rotate = st.button("Draw a new password", icon=":material/key:", key="rotate")
    try:
        with session.waking():
            if rotate:
                session.api().rotate(store.id)
                st.success("A new password is drawn. Reveal it above.", icon=":material/key:")
            if reveal:
                st.session_state[f"credentials_{store.id}"] = session.api().credentials(store.id)
                with slot.container():
                    credentials(store)
    except client.Gone:
        st.warning("They were shown already. Draw a new password to see one again.", icon=":material/visibility_off:")
    except client.ApiError as error:
        title, body = session.explain(error)
        st.error(body, title=title, icon=":material/error:")


def credentials(store: client.Store) -> None:
    """The revealed credentials. The platform does not show them twice, so this session keeps them until hidden."""
    key = f"credentials_{store.id}"
    shown: client.Credentials = st.session_state[key]
    st.caption("Shown this once. Keep them now: they are gone when you hide them or leave the dashboard.")
    with st.grid(2, min_column_width=260):
        for label, value in (("User", shown.user), ("Password", shown.password)):
            with st.container(gap="xsmall"):
                st.caption(label)
                st.code(value, language=None)
    with st.container(horizontal=True):
        st.link_button("Open the admin", shown.admin_url, icon=":material/open_in_new:", type="primary")
        st.button(
            "Hide",
            icon=":material/visibility_off:",
            key="hide",
            on_click=lambda: st.session_state.pop(key, None),
        )


def gone(name: str) -> None:
    """The end of a store that was watched until it was gone."""
    st.success(
        "Its namespace, database, files and address are removed. The name is free again.",
        title=f"{name} is gone",
        icon=":material/check_circle:",
    )
    st.page_link("app_pages/stores.py", label="Back to your stores", icon=":material/arrow_back:")


def head(store: client.Store) -> None:
    """Name, state, address, and how long it has been so."""
    look = words.look(store.status)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title(store.name, width="content", anchor=False, icon=words.engine_icon(store.type))
            st.badge(look.label, icon=look.icon, color=look.color)
        if store.url and store.status in {"ready", "degraded", "asleep"}:
            st.link_button("Open store", store.url, icon=":material/open_in_new:", type="primary", key="open")
    # What is wrong stands in a box of its own, just below.
    line = f"created {words.ago(store.created_at)}" if store.error_message else words.summary(store)
    st.caption(f":material/link: {store.url or f'`{store.host}`'} · {line}")


def board(store_id: str) -> None:
    """Everything on this page: all of it changes while the platform works."""
    watched = f"deleting_{store_id}"
    try:
        with session.waking():
            store = session.api().store(store_id)
    except client.NotFound as error:
        if watched in st.session_state:
            gone(st.session_state[watched])
        else:
            session.show_trouble(error, key="store")
        return
    except client.ApiError as error:
        session.show_trouble(error, key="store")
        return
    if store.status == "deleted":
        gone(store.name)
        return
    if store.status == "deleting":
        st.session_state[watched] = store.name

    head(store)
    trouble(store)
    if store.steps:
        with st.expander("Steps", icon=":material/timeline:", expanded=store.moving or store.status == "failed"):
            timeline(store)

    tabs = dict(zip(TABS, st.tabs(TABS, key="tab", on_change="rerun"), strict=True))
    for name, draw in {"Overview": overview, "Activity": activity, "Access": access}.items():
        if tabs[name].open:
            with tabs[name]:
                draw(store)

    if store.status != "deleting":
        with st.expander("Danger zone", icon=":material/warning:"):
            if dialogs.delete_form(store):
                st.rerun()

    if store.moving != st.session_state.get("store_moving", True):
        st.session_state["store_moving"] = store.moving
        st.rerun()  # the pace of a fragment is set when it is made, by a full run


st.page_link("app_pages/stores.py", label="Stores", icon=":material/arrow_back:")
st.fragment(board, run_every=2 if st.session_state.get("store_moving", True) else 15)(st.query_params.get("id", ""))
