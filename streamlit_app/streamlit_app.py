"""Urumi's dashboard: sign-in, navigation, and what stands above every page."""

from pathlib import Path

import auth
import client
import dialogs
import session
import streamlit as st

LOGO = Path(__file__).parent / "logo.svg"

st.set_page_config(page_title="Urumi", page_icon=LOGO, layout="wide")
st.logo(LOGO, size="large")

signed_in = auth.signed_in()
trouble: client.ApiError | None = None
if signed_in:
    with session.waking():
        try:
            st.session_state["platform"] = session.api().platform()
        except client.ApiError as error:
            trouble = error
        except LookupError as missing:
            trouble = client.Down(str(missing))

pages = [
    st.Page(
        "app_pages/stores.py",
        title="Stores",
        icon=":material/storefront:",
        default=True,
        help="Your stores and their state. Create one, open one, or remove one.",
    ),
    st.Page(
        "app_pages/activity.py",
        title="Activity",
        icon=":material/history:",
        help="Who asked for what, and whether it was accepted. Filter it and download it as CSV.",
    ),
    st.Page("app_pages/store.py", title="Store", icon=":material/store:", visibility="hidden"),
]
# Until the platform has said who is looking the page is there, so that its address survives an outage.
if not signed_in or trouble or session.platform().role == "admin":
    pages.append(
        st.Page(
            "app_pages/platform.py",
            title="Platform",
            icon=":material/monitoring:",
            help="How fast stores become ready, how old the last sweep is, and what stands ready in stock.",
        )
    )
page = st.navigation(pages, position="top" if signed_in else "hidden")

if not signed_in:
    with st.container(horizontal_alignment="center"):
        st.space("large")
        st.title("Urumi", text_alignment="center", anchor=False)
        st.markdown("A working online store in seconds. Sign in to see yours.", text_alignment="center")
        st.button("Sign in", icon=":material/login:", type="primary", on_click=st.login)
    st.stop()

session.show_messages()
if page.url_path != "":
    dialogs.close()

with st.container(horizontal=True, vertical_alignment="center"):
    if not trouble and session.platform().simulated:
        st.badge("Simulated cluster", icon=":material/science:", color="violet")
        st.caption("No Kubernetes stands behind it; stores are make-believe.", width="content")
    if auth.sign_in_configured():
        st.space("stretch")
        st.menu_button(
            auth.name(),
            ["Sign out"],
            type="tertiary",
            icon=":material/account_circle:",
            key="account",
            on_click=st.logout,
        )

if trouble:
    session.show_trouble(trouble, key="platform")
else:
    page.run()
