"""Studies that change one setting at a time, and what of the effect of gamma each setting explains."""

import numpy as np
import pandas as pd
import pytest

from noisedash.errors import NotFoundError, SpecError
from noisedash.records import ResultRecord
from noisedash.spec import Focal, FromScratch, FromWeights, RunSpec
from noisedash.studies.confounders import CENTRE, rank, settings_of
from noisedash.studies.recipes import build_study, recipe
from noisedash.studies.summary import mixed_settings, summarise

WEIGHTS = FromWeights(sha256="b" * 64)
SETTINGS = (
    "class head's prior 0.01",
    "classification weight 30",
    "flip and crop",
    "half the steps",
    "twice the steps",
    "SGD",
    "from scratch",
)
EFFECT = {CENTRE: 10.0, **dict(zip(SETTINGS, (7.0, 9.0, 1.0, 8.0, 12.0, 10.0, 10.0), strict=True))}


def specs_of(name: str, **choices) -> tuple[RunSpec, ...]:
    choices.setdefault("initial", WEIGHTS if recipe(name).weights else None)
    return build_study(recipe(name), "bccd", "a" * 64, **choices).specs


def by_id(specs: tuple[RunSpec, ...]) -> dict[str, RunSpec]:
    return {spec.id: spec for spec in specs}


def results(specs: tuple[RunSpec, ...], names: dict[str, str]) -> pd.DataFrame:
    """An effect as in EFFECT, four times that at threshold .3; each seed has a mean and an effect of its own."""
    records = []
    for spec in specs:
        for threshold, times in ((0.01, 1.0), (0.3, 4.0)):
            assert isinstance(spec.loss, Focal)
            seed = spec.training.seed
            own = (times * EFFECT[names[spec.id]] + seed) / 100 if spec.loss.gamma == 5 else 0.0
            wobble = 0.001 * float(np.sin(int(spec.id[:6], 16)))
            ap = 0.3 + 0.05 * seed + own + wobble
            records.append(ResultRecord(spec.id, spec.training.steps, True, threshold, ap, {}))
    return summarise(by_id(specs), records)


def test_confounders_are_a_centre_and_each_setting_alone() -> None:
    specs = specs_of("confounders")
    assert len(specs) == 2 * (1 + len(SETTINGS)) * 3
    assert {spec.noise.missing_rate for spec in specs} == {0.5}
    assert [spec.training.seed for spec in specs] == [0] * 16 + [1] * 16 + [2] * 16
    names = settings_of(by_id(specs))
    assert list(dict.fromkeys(names[spec.id] for spec in specs)) == [CENTRE, *SETTINGS]
    centre = specs[0]
    for spec in specs[2:16:2]:
        changed = mixed_settings([centre, spec]) or {"loss.classification_weight": ()}
        parts = {name.split(".")[0] + name.split(".")[1][:5] for name in changed}
        assert len(parts) == 1 or names[spec.id] in ("SGD", "from scratch"), changed


def test_the_centre_is_the_quick_studys_runs() -> None:
    quick, confounders = (by_id(specs_of(name)) for name in ("quick", "confounders"))
    assert len(set(quick) & set(confounders)) == 6


def test_overrides_scale_the_centre_before_it_is_varied() -> None:
    specs = specs_of("confounders", overrides={"steps": "40", "optimizer": "sgd"}, seeds=[0])
    assert {spec.training.steps for spec in specs} == {40, 20, 80}
    assert "AdamW" in settings_of(by_id(specs)).values()
    assert len(specs_of("confounders", initial=FromScratch(), seeds=[0])) == 14


def test_other_studies_are_no_confounders() -> None:
    assert settings_of(by_id(specs_of("quick"))) == {}
    assert settings_of({}) == {}


def test_settings_are_ranked_by_what_they_explain() -> None:
    specs = specs_of("confounders")
    names = settings_of(by_id(specs))
    rows = results(specs, names)
    ranked = rank(rows, names, 0.01).set_index("setting")
    assert list(ranked.index[:4]) == [CENTRE, "score threshold 0.3", "flip and crop", "class head's prior 0.01"]
    assert set(ranked.index) == {CENTRE, "score threshold 0.3", *SETTINGS}
    assert ranked.loc["flip and crop", "explained"] == pytest.approx(9, abs=0.3)
    assert ranked.loc["flip and crop", "share"] == pytest.approx(9 / 11, abs=0.03)
    assert ranked.loc["twice the steps", "explained"] == pytest.approx(-2, abs=0.3)
    assert set(ranked["runs"]) == {3}


def test_what_is_explained_has_the_paired_interval() -> None:
    specs = specs_of("confounders")
    names = settings_of(by_id(specs))
    rows = results(specs, names)
    at = rows[rows["threshold"] == 0.01].assign(setting=lambda own: own["run_id"].map(names))
    ap = at.pivot_table("ap", "seed", ["setting", "gamma"])
    effects = {name: 100 * (ap[name, 5.0] - ap[name, 2.0]).to_numpy() for name in (CENTRE, "half the steps")}
    explained = effects[CENTRE] - effects["half the steps"]
    reach = 4.30265 * explained.std(ddof=1) / 3**0.5  # Student's t, two degrees of freedom
    row = rank(rows, names, 0.01).set_index("setting").loc["half the steps"]
    assert (row["low"], row["high"]) == pytest.approx((explained.mean() - reach, explained.mean() + reach), rel=1e-5)


def test_a_share_needs_an_effect_and_a_rank_needs_the_centre() -> None:
    specs = specs_of("confounders", seeds=[0])
    names = settings_of(by_id(specs))
    rows = results(specs, names)
    assert rank(rows, names, 0.3)["share"].isna().all()
    with pytest.raises(NotFoundError, match="The centre has no runs of γ = 2 and 5"):
        rank(rows[rows["gamma"] == 2], names, 0.01)


def test_from_scratch_or_fine_tuned() -> None:
    specs = specs_of("scratch-or-finetuned", seeds=[0], overrides={"steps": "30"})
    assert len(specs) == 3 * 2 * 3
    assert {(spec.initial.kind, spec.training.steps) for spec in specs} == {
        ("weights", 30),
        ("scratch", 30),
        ("scratch", 90),
    }
    with pytest.raises(SpecError, match="choose weights to fine-tune from"):
        specs_of("scratch-or-finetuned", initial=FromScratch())


def test_four_architectures_start_alike() -> None:
    specs = specs_of("architectures", overrides={"input_side": "128"})
    assert len(specs) == 4 * 3 * 2
    assert {(spec.detector.kind, spec.detector.input_side) for spec in specs} == {
        ("ssd_mobilenet_v1", 128),
        ("ssdlite320_mobilenet_v3_large", 128),
        ("ssd300_vgg16", 300),
        ("retinanet_resnet50_fpn", 128),
    }
    assert {spec.detector.class_prior for spec in specs} == {0.01}
    assert {spec.initial for spec in specs} == {FromScratch()}


@pytest.mark.parametrize(("initial", "centre"), [(FromScratch(), 0.002), (WEIGHTS, 0.0005)])
def test_from_scratch_ssd_mobilenet_has_four_times_the_learning_rate(initial, centre) -> None:
    specs = specs_of("architectures", initial=initial, overrides={"learning_rate": str(centre)})
    rates = {(spec.detector.kind, spec.initial): spec.optimizer.learning_rate for spec in specs}
    assert rates.pop(("ssd_mobilenet_v1", FromScratch())) == 0.002
    assert set(rates.values()) == {0.0005}


def test_weights_fit_one_architecture_which_starts_from_scratch_besides() -> None:
    specs = specs_of("architectures", initial=WEIGHTS)
    assert len(specs) == 5 * 3 * 2
    assert {spec.detector.kind for spec in specs if spec.initial == WEIGHTS} == {"ssd_mobilenet_v1"}
    assert {spec.id for spec in specs if spec.initial != WEIGHTS} == {spec.id for spec in specs_of("architectures")}
