"""The user's stores: how many of each state, one card per store, and the two dialogs."""

import client
import dialogs
import session
import streamlit as st
import words

PAGE_SIZE = 12
STATUSES = ["ready", "provisioning", "failed", "degraded", "asleep", "deleting"]

# The platform searches by status only. A search by name walks this many pages; a merchant has one, an admin may
# have more than we look at, which is then said.
SEARCH_PAGES = 5
SEARCH_PAGE_SIZE = 100


def first_page() -> None:
    """Start over at the first page: cursors belong to one filter."""
    st.session_state["cursors"] = [None]
    st.session_state["stores_page"] = 1


def search(api: client.Api, *, status: str | None, text: str) -> tuple[client.Page, bool]:
    """The stores whose name contains the text, and whether there were more than we looked at."""
    found: list[client.Store] = []
    cursor: str | None = None
    for _ in range(SEARCH_PAGES):
        page = api.stores(status=status, cursor=cursor, limit=SEARCH_PAGE_SIZE)
        found += [store for store in page.items if text in store.name]
        cursor = page.next_cursor
        if cursor is None:
            break
    return client.Page(items=tuple(found), next_cursor=None, counts=page.counts), cursor is not None


def browse(api: client.Api, *, status: str | None) -> client.Page:
    """The page of stores that the pagination stands at."""
    cursors = st.session_state.setdefault("cursors", [None])
    here = min(st.session_state.get("stores_page", 1), len(cursors))
    page = api.stores(status=status, cursor=cursors[here - 1], limit=PAGE_SIZE)
    st.session_state["cursors"] = cursors[:here] + ([page.next_cursor] if page.next_cursor else [])
    return page


def metrics(counts: dict[str, int]) -> None:
    """How many stores there are of the states that matter, and how fast they come up."""
    platform = session.platform()
    waiting = counts.get("provisioning", 0)
    broken = counts.get("failed", 0) + counts.get("degraded", 0)
    with st.grid(4, min_column_width=150):
        st.metric("Ready", counts.get("ready", 0), border=True, icon=":material/check_circle:")
        st.metric("Provisioning", waiting, border=True, icon=":material/hourglass_top:")
        st.metric("In trouble", broken, border=True, icon=":material/error:")
        st.metric(
            "Time to ready",
            words.measured(platform.ready_p50),
            border=True,
            icon=":material/timer:",
            help=f"The median of the last {platform.ready_n} stores.",
        )


def card(store: client.Store) -> None:
    """One store: what it is, how it is, and what can be done with it."""
    look = words.look(store.status)
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.page_link(
                "app_pages/store.py",
                label=f"**{store.name}**",
                icon=words.engine_icon(store.type),
                query_params={"id": store.id},
            )
            st.badge(look.label, icon=look.icon, color=look.color)
        st.caption(words.summary(store))
        st.space("stretch")
        with st.container(horizontal=True, vertical_alignment="center"):
            if store.url and store.status in {"ready", "degraded", "asleep"}:
                st.link_button("Open", store.url, icon=":material/open_in_new:", key=f"open_{store.id}")
            chosen = st.menu_button(
                "More",
                ["Details"] if store.status == "deleting" else ["Details", "Delete"],
                key=f"menu_{store.id}",
                type="tertiary",
                icon=":material/more_horiz:",
            )
    if chosen == "Details":
        st.switch_page("app_pages/store.py", query_params={"id": store.id})
    if chosen == "Delete":
        dialogs.open_delete(store)
        st.rerun()


def empty(*, filtered: bool) -> None:
    """What stands there instead of cards."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        if filtered:
            st.markdown("No store matches.", text_alignment="center")
            return
        st.markdown("#### Your first store is one name away", text_alignment="center")
        st.caption(
            "Choose a name and an engine. Storefront, admin, database and address are ready in seconds.",
            text_alignment="center",
        )
        if st.button("Create your first store", type="primary", icon=":material/add:", key="first_store"):
            dialogs.open_new()
            st.rerun()
        st.space("small")


def board() -> None:
    """Everything on this page that changes by itself."""
    top = st.container()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        status = st.pills(
            "Status",
            STATUSES,
            key="status",
            bind="query-params",
            format_func=lambda value: words.look(value).label,
            label_visibility="collapsed",
            on_change=first_page,
        )
        text = st.text_input(
            "Search by name",
            key="q",
            type="search",
            bind="query-params",
            live=True,
            label_visibility="collapsed",
            width=260,
        )
    text = (text or "").strip().lower()
    more = False
    try:
        with session.waking():
            if text:
                page, more = search(session.api(), status=status, text=text)
            else:
                page = browse(session.api(), status=status)
    except client.ApiError as error:
        session.show_trouble(error, key="board")
        return

    with top:
        metrics(page.counts)
    if page.items:
        with st.grid(3, min_column_width=300):
            for store in page.items:
                card(store)
    else:
        empty(filtered=bool(status or text))
    if more:
        st.caption(f"Searched the newest {SEARCH_PAGES * SEARCH_PAGE_SIZE} stores only.")
    pages = len(st.session_state["cursors"]) if not text else 1
    if pages > 1:
        with st.container(horizontal_alignment="center"):
            st.pagination(pages, key="stores_page")

    moving = any(page.counts.get(status, 0) for status in ("provisioning", "deleting"))
    # The pace of a fragment is set when it is made, by a full run. That would make an open dialog blink: it can wait.
    if moving != st.session_state.get("board_moving", False) and "dialog" not in st.session_state:
        st.session_state["board_moving"] = moving
        st.rerun()


with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.title("Stores", width="content", anchor=False)
    if st.button("New store", type="primary", icon=":material/add:", key="new_store"):
        dialogs.open_new()

st.fragment(board, run_every=2 if st.session_state.get("board_moving") else 15)()
dialogs.show()
