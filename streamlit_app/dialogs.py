"""The two dialogs of the stores page. Which one is open is in the session's state, so that any run can redraw it."""

from __future__ import annotations

import uuid

import client
import session
import streamlit as st
import words


def open_new() -> None:
    """Have the next run show the new store dialog, with no memory of an earlier one."""
    close()
    st.session_state["dialog"] = "new"


def open_delete(store: client.Store) -> None:
    """Have the next run ask for the store's name and then delete it."""
    close()
    st.session_state["dialog"] = "delete"
    st.session_state["dialog_store"] = store


def close() -> None:
    """Forget the open dialog and what was filled in."""
    for key in ("dialog", "dialog_store", "new_keys", "new_refusal"):
        st.session_state.pop(key, None)


def show() -> None:
    """Draw the dialog that is open, if any."""
    match st.session_state.get("dialog"):
        case "new":
            _new_store()
        case "delete":
            _delete_store()


@st.dialog("New store", icon=":material/add_business:", on_dismiss=close)
def _new_store() -> None:
    platform = session.platform()
    engines = {engine.type: engine for engine in platform.engines}

    name = (st.text_input("Name", key="new_name", max_chars=40, placeholder="my-shop", live=True) or "").strip()
    below_name = st.container()
    engine = st.segmented_control(
        "Engine",
        list(engines),
        key="new_engine",
        default=next(iter(engines)),
        required=True,
        format_func=lambda kind: f"{words.engine_icon(kind)} {engines[kind].title}",
        width="stretch",
    )
    assert engine is not None, "`required` keeps one chosen"

    below_engine = st.container()
    problem = words.name_problem(name) if name else None
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(_quota(platform), width="content")
        create = st.button(
            "Create store",
            key="new_create",
            type="primary",
            icon=":material/add:",
            disabled=not name or problem is not None or platform.quota_left == 0,
        )
    if create:
        _create(name, engine)

    refusal = _refusal(name, engine)
    wrong_name = problem or (refusal and (refusal.fields.get("name") or _taken(refusal)))
    if wrong_name:
        below_name.markdown(words.field_error(wrong_name))
    elif name:
        below_name.caption(f":material/link: `{platform.url_template.replace('{name}', name)}`")
    else:
        below_name.caption(words.NAME_RULE)
    if refusal and "type" in refusal.fields:
        below_engine.markdown(words.field_error(refusal.fields["type"]))
    else:
        below_engine.caption(words.plain(engines[engine].description))
    if refusal and not wrong_name and "type" not in refusal.fields:
        with below_engine:
            _show_refusal(refusal)


def _create(name: str, engine: str) -> None:
    # One key for one form: pressing again after a lost answer finds the store that the first press made.
    keys = st.session_state.setdefault("new_keys", {})
    key = keys.setdefault((name, engine), str(uuid.uuid4()))
    try:
        with session.waking():
            store = session.api().create(name=name, engine=engine, idempotency_key=key)
    except client.ApiError as error:
        st.session_state["new_refusal"] = ((name, engine), error)
        return
    close()
    session.tell(f"{store.name} is on its way", ":material/rocket_launch:")
    st.switch_page("app_pages/store.py", query_params={"id": store.id})


def _refusal(name: str, engine: str) -> client.ApiError | None:
    """What the platform said to exactly this form. Once the form is changed, the answer no longer fits."""
    form, error = st.session_state.get("new_refusal", (None, None))
    return error if form == (name, engine) else None


def _taken(refusal: client.ApiError) -> str | None:
    return str(refusal) if isinstance(refusal, client.Conflict) else None


def _show_refusal(refusal: client.ApiError) -> None:
    title, body = session.explain(refusal)
    if isinstance(refusal, client.Unreachable):
        body += " Pressing the button again is safe: it will not make a second store."
    for field, message in refusal.fields.items():
        body += f"\n- {words.plain(field)}: {words.plain(message)}"
    st.error(body, title=title, icon=":material/error:")


def _quota(platform: client.Platform) -> str:
    if platform.quota_left == 0:
        return f":red[All {platform.quota_limit} of your stores are in use. Delete one to make room.]"
    return f"{platform.quota_left} of {platform.quota_limit} stores left"


@st.dialog("Delete store", icon=":material/delete:", on_dismiss=close)
def _delete_store() -> None:
    if delete_form(st.session_state["dialog_store"]):
        close()
        st.rerun()


def delete_form(store: client.Store) -> bool:
    """Ask for the store's name, then delete it. True when the platform has taken it on."""
    st.markdown(
        f"This removes **{store.name}** with its products, orders, customers, files and database. It cannot be undone."
    )
    typed = st.text_input(f"Type {store.name} to confirm", key=f"confirm_{store.id}", live=True, autocomplete="off")
    confirmed = typed == store.name
    pressed = st.button(
        ":red[Delete this store]" if confirmed else "Delete this store",
        key=f"delete_{store.id}",
        icon=":material/delete_forever:",
        disabled=not confirmed,
    )
    if not pressed:
        return False
    try:
        with session.waking():
            session.api().delete(store.id)
    except client.NotFound:
        pass  # somebody else was faster; the wish is fulfilled
    except client.ApiError as error:
        title, body = session.explain(error)
        st.error(body, title=title, icon=":material/error:")
        return False
    session.tell(f"{store.name} is being removed", ":material/delete:")
    return True
