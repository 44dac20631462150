"""Who asked for what, when, and whether it was accepted."""

import client
import session
import streamlit as st
import words

PAGE_SIZE = 100


def load(pages: int) -> tuple[list[client.AuditEntry], bool]:
    """The newest pages of the audit log, and whether there is more."""
    entries: list[client.AuditEntry] = []
    cursor: str | None = None
    for _ in range(pages):
        found, cursor = session.api().audit(cursor=cursor, limit=PAGE_SIZE)
        entries += found
        if cursor is None:
            break
    return entries, cursor is not None


def name_of(entry: client.AuditEntry) -> str:
    """The store's name where anything tells it, else its id."""
    return entry.store_name or names.get(entry.store_id) or entry.store_id or ""


st.title("Activity", anchor=False)

pages = st.session_state.setdefault("activity_pages", 1)
try:
    with session.waking():
        entries, more = load(pages)
except client.ApiError as error:
    session.show_trouble(error, key="activity")
    st.stop()

if not entries:
    st.caption("Nobody has asked for anything yet.")
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    action = st.pills(
        "Action",
        sorted({entry.action for entry in entries}),
        key="action",
        format_func=words.sentence,
        label_visibility="collapsed",
    )
    outcome = st.segmented_control(
        "Outcome",
        ["accepted", "refused"],
        key="outcome",
        format_func=words.sentence,
        label_visibility="collapsed",
    )
    text = st.text_input("Search", key="activity_q", type="search", live=True, label_visibility="collapsed", width=240)

# A refused request knows the store's id only; most often another entry knows its name.
names = {entry.store_id: entry.store_name for entry in entries if entry.store_name}
needle = (text or "").strip().lower()
rows: list[dict[str, object]] = [
    {
        "When": entry.time,
        "User": entry.user,
        "Action": words.sentence(entry.action),
        "Store": name_of(entry),
        "Outcome": words.sentence(entry.outcome),
        "Reason": words.sentence(entry.reason or ""),
        "Address": entry.ip or "",
    }
    for entry in entries
    if action in {None, entry.action}
    and outcome in {None, entry.outcome}
    and needle in f"{entry.user} {name_of(entry)} {entry.reason} {entry.ip}".lower()
]

if rows:
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "When": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm:ss"),
            "Reason": st.column_config.TextColumn(width="large"),
        },
        alt="Who asked for what, newest first",
    )
else:
    st.caption("Nothing matches.")

with st.container(horizontal=True, vertical_alignment="center"):
    st.download_button(
        "Download CSV",
        words.as_csv(rows),
        file_name="urumi-activity.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        disabled=not rows,
    )
    if more and st.button("Load older", icon=":material/expand_more:", key="older"):
        st.session_state["activity_pages"] = pages + 1
        st.rerun()
    st.caption(f"{len(rows)} of {len(entries)} entries", width="content")
