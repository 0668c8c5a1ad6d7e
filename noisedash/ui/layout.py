"""What every page shares: headings, one-sentence errors, empty states, and text that is never markdown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from noisedash.errors import NoiseDashError

ASSETS = Path(__file__).parent / "assets"
PAGES = Path(__file__).resolve().parents[2] / "pages"
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    r"""Text for a place that reads markdown, so that it appears as it is: each sign escaped, one line.

    >>> print(plain("a*b* ![x](http://h/y)"))
    a\*b\* \!\[x\]\(http\:\/\/h\/y\)
    """
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def heading(title: str, lead: str) -> None:
    """The page's title and one sentence that says what it is for."""
    st.title(title, anchor=False)
    st.markdown(lead)


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Shows what a person did wrong, or what is missing, as one sentence in place of the rest of the block."""
    try:
        yield
    except NoiseDashError as error:
        st.error(plain(str(error)), icon=":material/error:")


def empty_state(title: str, text: str, link: tuple[str, str] | None = None) -> None:
    """What a page shows while there is nothing to show: why, and the way on (a page's file name and a label)."""
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.subheader(title, anchor=False, text_alignment="center")
        st.markdown(text, text_alignment="center")
        if link is not None:
            st.page_link(page(link[0]), label=link[1], icon=":material/arrow_forward:")


def start_with(key: str, value: str) -> None:
    """Give a widget that is bound to the address its first value, so that the address tells it from the start.

    A widget's default is left out of the address; where the default is 'the newest', a link would mean something else
    tomorrow.
    """
    if key not in st.session_state and key not in st.query_params:
        st.query_params[key] = value
        st.rerun()


def page(name: str) -> Path:
    """The script of the page `name`, as links want it."""
    return PAGES / f"{name}.py"


def chart(figure: go.Figure, key: str, alt: str) -> None:
    """A figure across the width, with its description for those who do not see it."""
    config: dict[str, Any] = {
        "displaylogo": False,
        "displayModeBar": "hover",
        "toImageButtonOptions": {"format": "svg", "filename": key},
        "scrollZoom": False,
    }
    st.plotly_chart(figure, key=key, config=config, alt=alt, theme=None)
