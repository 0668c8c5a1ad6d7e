"""Our own elements in the page (Streamlit components v2): HTML, CSS and JavaScript from the files beside this one."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def source(file: str) -> str:
    """The text of a file of this package."""
    return (_FOLDER / file).read_text(encoding="utf-8")
