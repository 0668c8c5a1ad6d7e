"""The script behind every page: navigation first, then the page that the address names."""

import time

import streamlit as st

from noisedash.errors import NoiseDashError, StoreError
from noisedash.ui.layout import ASSETS, page, plain

LOOK_AGAIN_S = 5.0
PAGES = ("overview", "launch", "queue", "results", "run", "noise", "losses", "paper")


def main() -> None:
    """Draw the page that the address names; the first one where it names none."""
    pages = [st.Page(page(name), title=name.title(), default=name == PAGES[0]) for name in PAGES]
    current = st.navigation(pages, position="top")
    icon = str(ASSETS / "icon.png")
    st.set_page_config(page_title=f"{current.title} · NoiseDash", page_icon=icon, layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large")
    st.html(ASSETS / "page.css")
    try:
        current.run()
    except StoreError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.fragment(_look_again, run_every=LOOK_AGAIN_S)(time.monotonic())
    except NoiseDashError as error:
        st.error(plain(str(error)), icon=":material/error:")


def _look_again(since: float) -> None:
    """Draw the page anew after a while: the database may be back."""
    st.markdown("This page looks again every few seconds, and goes on when the database does.")
    if time.monotonic() - since >= LOOK_AGAIN_S:
        st.rerun()


if __name__ == "__main__":
    main()
