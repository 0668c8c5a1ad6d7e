"""`noisedash study claims`: the paper's claims held against the runs of one's own studies."""

from dataclasses import asdict
from typing import Annotated

import typer

from noisedash import published
from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_store
from noisedash.cli.study import told_counts
from noisedash.records import JobState
from noisedash.studies.claims import published_value
from noisedash.studies.robustness import basis
from noisedash.studies.summary import summarise
from noisedash.studies.verdicts import Condition, Verdict, conditions, judge
from noisedash.studies.wording import basis_in_words

PaperDataset = Annotated[
    str, typer.Option("--paper", help=f"The paper's dataset beside it: {', '.join(published.DATASETS)}.")
]
_READ_IT = (
    "Points of mAP. Each interval is a 95 % one for itself, over seeds and noise draws; a claim is supported or "
    "contradicted where the whole interval lies on one side of its limit."
)


def claims(
    study_names: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Studies whose runs are taken together.")
    ],
    paper: PaperDataset = "indoor",
    as_json: AsJson = False,
) -> None:
    """Hold the paper's claims against studies: supported, contradicted, undecided or not testable, with intervals."""
    chosen = published.dataset(paper)
    store = open_store()
    studies = [store.study(name) for name in dict.fromkeys(study_names)]
    jobs = {job.run_id: job for study in studies for job in store.jobs(study.name)}
    specs = {run_id: job.spec for run_id, job in jobs.items()}
    rows = summarise(specs, store.results(list(specs), final_only=True))
    judged = {condition: judge(rows, condition) for condition in conditions(rows)}
    if as_json:
        stands_on = None if rows.empty else asdict(basis(specs, rows))
        tables = [_as_json(condition, verdicts, chosen.name) for condition, verdicts in judged.items()]
        named = [{"study": study.name, "dataset": study.dataset_name} for study in studies]
        say_json({"studies": named, "basis": stands_on, "conditions": tables})
        return
    if not judged:
        counts = {state: sum(job.state is state for job in jobs.values()) for state in JobState}
        names = " or ".join(study.name for study in studies)
        say(f"No run of {names} with the focal loss has finished yet: {told_counts(counts)}.")
        return
    for study in studies:
        say(f"{study.name}: {study.title}, on {study.dataset_name}")
    say(f"Beside it the paper's {chosen.title}.\nOf {basis_in_words(basis(specs, rows))}.\n{_READ_IT}")
    for condition, verdicts in judged.items():
        say(f"\nScore ≥ {condition.threshold:g}{condition.settings and f', {condition.settings}'}")
        say_table(
            ["claim", "verdict", "paper", "here", "from", "to", "pairs", "what it needs"],
            [_row(verdict, chosen.name) for verdict in verdicts],
        )


def _row(verdict: Verdict, dataset: str) -> list[object]:
    number = "{:+.2f}".format
    own = [number(value) if value == value else "" for value in (verdict.value, verdict.low, verdict.high)]
    paper = number(published_value(verdict.claim, dataset))
    return [verdict.claim.text, verdict.ruling.value, paper, *own, verdict.runs or None, verdict.needs]


def _as_json(condition: Condition, verdicts: tuple[Verdict, ...], dataset: str) -> dict[str, object]:
    """A condition with a record for each claim; numbers that are not known are null."""
    records = []
    for verdict in verdicts:
        record = asdict(verdict) | {name: getattr(verdict, name) for name in ("runs", "varies", "needs")}
        numbers = {name: _known(getattr(verdict, name)) for name in ("value", "low", "high")}
        records.append(record | numbers | {"paper": published_value(verdict.claim, dataset)})
    return {**asdict(condition), "claims": records}


def _known(value: float) -> float | None:
    return value if value == value else None
