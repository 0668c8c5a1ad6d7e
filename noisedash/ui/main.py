"""The script behind every page: navigation first, then the page that the address names."""

import streamlit as st

from noisedash.ui.layout import ASSETS, one_sentence_errors, page

PAGES = ("overview", "launch", "queue", "results", "noise", "losses")


def main() -> None:
    """Draw the page that the address names; the first one where it names none."""
    pages = [st.Page(page(name), title=name.title(), default=name == PAGES[0]) for name in PAGES]
    current = st.navigation(pages, position="top")
    icon = str(ASSETS / "icon.png")
    st.set_page_config(page_title=f"{current.title} · NoiseDash", page_icon=icon, layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large")
    st.html(ASSETS / "page.css")
    with one_sentence_errors():
        current.run()


if __name__ == "__main__":
    main()
