"""What is wrong with this machine, at the foot of a page: found out in the background, kept for a minute."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import streamlit as st

from noisedash.jobs.doctor.examination import examine
from noisedash.jobs.doctor.findings import Finding, Verdict
from noisedash.settings import Settings, current_settings
from noisedash.ui.layout import plain

KEPT_S = 60.0
TICK_S = 1.0
NICENESS = 10
"""Trainers and pages come first."""
_TOLD_ABOVE = ("queue",)
"""Whether someone works on the queue is said beside the newest study."""


def examine_gently(settings: Settings) -> Iterable[Finding]:
    """An examination that trainers and pages do not feel."""
    return examine(settings, niceness=NICENESS)


class Examinations:
    """The newest examination of each installation. Nobody waits for one: a thread keeps what it finds."""

    def __init__(
        self,
        examine: Callable[[Settings], Iterable[Finding]] = examine_gently,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._examine, self._clock = examine, clock
        self._lock = threading.Lock()
        self._found: dict[Settings, tuple[float, list[Finding]]] = {}
        self._running = False

    def newest(self, settings: Settings) -> Sequence[Finding] | None:
        """What was found last, None while nothing was; begins a new examination where that is over a minute old.

        One runs at a time.
        """
        with self._lock:
            found = self._found.get(settings)
            if not self._running and (found is None or self._clock() - found[0] > KEPT_S):
                self._running = True
                threading.Thread(target=self._run, args=(settings,), name="doctor", daemon=True).start()
        return found[1] if found else None

    def _run(self, settings: Settings) -> None:
        findings = []
        try:
            findings = list(self._examine(settings))
        finally:
            with self._lock:
                self._found[settings] = self._clock(), findings
                self._running = False


_EXAMINATIONS = Examinations()


def render() -> None:
    """The section: nothing but warnings and problems, each with its remedy; empty where all is well."""
    findings = _EXAMINATIONS.newest(current_settings())
    if findings is None:
        st.fragment(_wait, run_every=TICK_S)()
        return
    wrong = [finding for finding in findings if finding.verdict is not Verdict.OK and finding.name not in _TOLD_ABOVE]
    if not wrong:
        return
    st.subheader("This machine", anchor=False)
    for verdict, (show, icon) in _BOXES.items():
        lines = [_line(finding) for finding in wrong if finding.verdict is verdict]
        if lines:
            show("\n".join(lines), icon=icon)


def _line(finding: Finding) -> str:
    return f"- **{plain(finding.name)}**: {in_markdown(finding.found)} {in_markdown(finding.remedy)}"


def _wait() -> None:
    """Draw the page again once something was found."""
    if _EXAMINATIONS.newest(current_settings()) is not None:
        st.rerun()


def in_markdown(text: str) -> str:
    """Plain text in which what stands between backquotes is shown as code.

    >>> in_markdown("Run `kill *` now!")
    'Run `kill *` now\\\\!'
    """
    parts = re.split("(`[^`]+`)", text)
    return "".join(part if part.startswith("`") and part.endswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :] if text.strip() else ""
    return f"{before}{plain(text)}{after}"


_BOXES: dict[Verdict, tuple[Callable[..., object], str]] = {
    Verdict.PROBLEM: (st.error, ":material/error:"),
    Verdict.WARNING: (st.warning, ":material/warning:"),
}
