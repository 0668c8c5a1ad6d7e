"""The script behind every page: navigation first, then the page that the address names."""

import streamlit as st

from noisedash.ui.layout import ASSETS, one_sentence_errors, page

st.set_page_config(page_title="NoiseDash", page_icon=str(ASSETS / "icon.png"), layout="wide")
st.logo(str(ASSETS / "logo.svg"), size="large")
st.html(ASSETS / "page.css")

current = st.navigation(
    [
        st.Page(page("overview"), title="Overview", default=True),
        st.Page(page("launch"), title="Launch"),
        st.Page(page("queue"), title="Queue"),
        st.Page(page("results"), title="Results"),
        st.Page(page("noise"), title="Noise"),
        st.Page(page("losses"), title="Losses"),
    ],
    position="top",
)
with one_sentence_errors():
    current.run()
