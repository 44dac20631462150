"""How the platform itself is doing. For administrators: the page is absent for everybody else."""

import client
import session
import streamlit as st
import words

# The sweep runs every minute. Three missed ones mean that nobody catches lost events and deadlines.
SWEEP_LATE_SECONDS = 180

# As many bars as fit on a screen.
SHOWN = 12


def times_to_ready() -> None:
    """How long the newest stores took."""
    try:
        stores = session.api().stores(status="ready", limit=SHOWN).items
    except client.ApiError as error:
        session.show_trouble(error, key="times")
        return
    times = [
        {"Store": store.name, "Seconds": store.time_to_ready_seconds}
        for store in stores
        if store.time_to_ready_seconds is not None
    ]
    if not times:
        st.caption("No store has become ready yet.")
        return
    st.bar_chart(
        times,
        x="Store",
        y="Seconds",
        x_label="",
        y_label="",
        horizontal=True,
        sort=False,
        height=60 + 32 * len(times),
        alt="Seconds until each of the newest stores was ready",
    )


platform = session.platform()
age = platform.sweep_age_seconds

st.title("Platform", anchor=False)
with st.grid(4, min_column_width=150):
    st.metric("Cluster", "Simulated" if platform.simulated else "Kubernetes", border=True)
    st.metric("Ready, median", words.measured(platform.ready_p50), border=True, help=f"Of {platform.ready_n} stores.")
    st.metric("Ready, p95", words.measured(platform.ready_p95), border=True, help=f"Of {platform.ready_n} stores.")
    st.metric("Last sweep", "never" if age is None else f"{words.duration(age)} ago", border=True)
if age is None or age > SWEEP_LATE_SECONDS:
    st.warning(
        "Deadlines, lost events and leftovers are caught by the sweep, which should run every minute. "
        "See whether its CronJob runs.",
        title="The sweep is late",
        icon=":material/warning:",
    )

with st.container(border=True):
    st.markdown("**Seconds to ready, newest stores first**")
    times_to_ready()

with st.grid(2, min_column_width=300):
    with st.container(border=True, height="stretch"):
        st.markdown("**Warm stock**")
        st.caption("Stores that stand ready for the next name.")
        with st.grid(2):
            for engine in platform.engines:
                st.metric(engine.title, platform.warm.get(engine.type, 0), icon=words.engine_icon(engine.type))
    with st.container(border=True, height="stretch"):
        st.markdown("**Your quota**")
        st.caption(f"{platform.quota_used} of {platform.quota_limit} stores in use.")
        st.progress(min(1.0, platform.quota_used / max(1, platform.quota_limit)))
