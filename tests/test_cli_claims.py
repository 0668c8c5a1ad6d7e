"""`noisedash study claims`: the paper's claims as a table and as JSON."""

import json
import sys
from dataclasses import replace

import demo_store
import pytest

from noisedash.cli.app import main
from noisedash.jobs.store import Store
from noisedash.settings import current_settings
from noisedash.spec import CrossEntropy, Focal


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `noisedash study claims` of studies with more arguments: status, output and error."""

    def run(*arguments: str, studies: tuple[str, ...] = ("demo",)) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["noisedash", "study", "claims", *studies, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def store(own_home) -> Store:
    opened = Store(current_settings().database_url)
    opened.submit_study(demo_store.demo_study("1" * 64))
    return opened


def test_a_script_reads_every_claim_at_every_threshold(store: Store, claims) -> None:
    for _ in range(30):
        demo_store.finish_next(store, ("cup", "hat"))
    status, out, _ = claims("--paper", "fddb", "--json")
    assert status == 0
    found = json.loads(out)
    assert [condition["threshold"] for condition in found["conditions"]] == [0.01, 0.3]
    assert found["basis"]["seeds"] == [0, 1, 2]
    records = {record["claim"]["key"]: record for record in found["conditions"][1]["claims"]}
    assert len(records) == 12
    assert records["gamma-5-over-2"]["ruling"] == "supported"
    assert records["gamma-5-over-2"]["paper"] == 11.52
    assert records["gamma-5-over-2"]["low"] > 0
    assert records["focal-ahead-at-20"]["ruling"] == "not testable"
    assert records["focal-ahead-at-20"]["value"] is None
    status, out, _ = claims()
    assert status == 0
    assert "the paper's Indoor" in out
    assert "dataset 111111111111" in out
    assert "runs of γ = 2 at 20 % missing" in out


def test_studies_are_judged_together(store: Store, claims) -> None:
    """As the paper's claims need both of its experiments."""
    whole = demo_store.demo_study("1" * 64)
    parts = {"ce": CrossEntropy, "focal": Focal}
    for name, kind in parts.items():
        specs = tuple(spec for spec in whole.specs if isinstance(spec.loss, kind))
        store.submit_study(replace(whole, name=name, specs=specs))
    for _ in range(30):
        demo_store.finish_next(store, ("cup", "hat"))
    both = json.loads(claims("--json", studies=("ce", "focal", "ce"))[1])
    assert both["conditions"] == json.loads(claims("--json")[1])["conditions"]
    assert [named["study"] for named in both["studies"]] == ["ce", "focal"]
    alone = json.loads(claims("--json", studies=("focal",))[1])
    rulings = {record["claim"]["key"]: record["ruling"] for record in alone["conditions"][0]["claims"]}
    assert rulings["focal-loses-more"] == "not testable"
    told = claims(studies=("ce", "focal"))[1]
    assert told.startswith("ce: ")
    assert "\nfocal: " in told


def test_a_study_without_results_is_one_sentence(store: Store, claims) -> None:
    assert claims()[1].strip() == "No run of demo with the focal loss has finished yet: 30 queued."
    assert json.loads(claims("--json")[1])["conditions"] == []


def test_an_unknown_dataset_of_the_paper_is_one_sentence(store: Store, claims) -> None:
    status, _, error = claims("--paper", "coco")
    assert status == 1
    assert "The paper has no dataset 'coco'" in error
