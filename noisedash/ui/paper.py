"""What the Paper page shows, without the page: a study's verdicts and the texts beside them."""

import pandas as pd

from noisedash import published
from noisedash.studies.claims import published_value
from noisedash.studies.verdicts import Condition, Ruling, Verdict
from noisedash.ui.layout import plain
from noisedash.ui.text import count

_SIGNS = {
    Ruling.SUPPORTED: "✓",
    Ruling.CONTRADICTED: "✕",
    Ruling.UNDECIDED: "≈",
    Ruling.NOT_TESTABLE: "–",
}
"""Before the word, so that a ruling is told without colour."""


def claims_table(verdicts: tuple[Verdict, ...], paper_dataset: str) -> pd.DataFrame:
    """The claims with what was published and what was measured, in points, as markdown texts."""
    return pd.DataFrame(
        {
            "": list(range(1, len(verdicts) + 1)),
            "The paper says": [_said(verdict, paper_dataset) for verdict in verdicts],
            "Your runs": [f"{_SIGNS[verdict.ruling]}\u00a0**{verdict.ruling.value}**" for verdict in verdicts],
            "Paper": [plain(_paper(verdict, paper_dataset)) for verdict in verdicts],
            "Here": [plain(points(verdict.value)) for verdict in verdicts],
            "95 % interval": [plain(interval(verdict)).replace(" ", "\u00a0") for verdict in verdicts],
            "n": [str(verdict.runs or "") for verdict in verdicts],
            "What it needs": [plain(verdict.needs) for verdict in verdicts],
        }
    )


def confounders_table(ranked: pd.DataFrame) -> pd.DataFrame:
    """What `studies.confounders.rank` found, for reading, as markdown texts."""

    def between(low: str, high: str) -> list[str]:
        ends = zip(ranked[low], ranked[high], strict=True)
        return [plain(f"{points(a)} to {points(b)}" if a == a else "–").replace(" ", "\u00a0") for a, b in ends]

    return pd.DataFrame(
        {
            "Setting": [plain(name) for name in ranked["setting"]],
            "γ 5 − γ 2": [plain(points(value)) for value in ranked["effect"]],
            "95 % interval": between("effect_low", "effect_high"),
            "Explains": [plain(points(value)) for value in ranked["explained"]],
            "95 % interval of it": between("low", "high"),
            "Share": [plain(f"{share:.0%}") if share == share else "–" for share in ranked["share"]],
            "n": [str(runs) for runs in ranked["runs"]],
        }
    )


def points(value: float) -> str:
    """Points of mAP with their sign; '–' where there are none.

    >>> points(1.234), points(float("nan"))
    ('+1.23', '–')
    """
    return f"{value:+.2f}" if value == value else "–"


def interval(verdict: Verdict) -> str:
    """'-1.00 to +2.00'."""
    return f"{points(verdict.low)} to {points(verdict.high)}" if verdict.low == verdict.low else "–"


def tally(verdicts: tuple[Verdict, ...]) -> str:
    """How many claims came out which way, in one sentence."""
    numbers = {ruling: sum(verdict.ruling is ruling for verdict in verdicts) for ruling in Ruling}
    told = ", ".join(f"{number} {ruling.value}" for ruling, number in numbers.items() if number)
    return f"Of {count(len(verdicts), 'claim')}: {told}."


def condition_label(condition: Condition) -> str:
    """A condition as a choice: its settings, or that there is nothing to tell."""
    return condition.settings or "as they are"


def discrepancies() -> str:
    """Where the paper's text and numbers part, as a markdown list."""
    return "\n".join(
        f"- *{plain(each.place)}*: {plain(each.text)} **The numbers:** {plain(each.numbers)}"
        for each in published.DISCREPANCIES
    )


def how_to_launch() -> str:
    """What to type to run the paper's studies, as markdown."""
    return (
        "On the Launch page choose **Paper: CE and FL** or **Paper: γ 0 to 8**, or type\n\n"
        "```\n"
        "noisedash study submit paper-losses --dataset NAME --weights WEIGHTS --seeds 0,1,2\n"
        "noisedash study submit paper-gammas --dataset NAME --weights WEIGHTS --seeds 0,1,2\n"
        "noisedash worker\n"
        "```\n\n"
        "Without a GPU make them smaller, with `--set steps=600 --set input_side=160 --set depth_multiplier=0.5`. "
        "`quick` tests most of the claims, too, in a quarter of an hour or so."
    )


def _said(verdict: Verdict, paper_dataset: str) -> str:
    """The claim, where it stands, and what to know of it."""
    claim = verdict.claim
    of = "" if paper_dataset in claim.said_of else f"; not said of {published.DATASETS[paper_dataset].title}"
    note = f" {plain(claim.note)}" if claim.note else ""
    return f"{plain(claim.text)} *{plain(claim.place + of)}.*{note}"


def _paper(verdict: Verdict, paper_dataset: str) -> str:
    value = published_value(verdict.claim, paper_dataset)
    return f"{points(value)}{'' if verdict.claim.holds_for(value) else ' ✕'}"
