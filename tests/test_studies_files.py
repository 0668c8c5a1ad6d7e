"""Studies from YAML: the grid and the list, the names, and every slip told with its place."""

from pathlib import Path

import pytest

from noisedash.errors import NotFoundError, SpecError
from noisedash.noise_spec import BySize, ExtraNoise, MissingNoise
from noisedash.spec import (
    AdamW,
    CrossEntropy,
    DataSpec,
    Focal,
    FromScratch,
    FromWeights,
    RmsPropTf,
    RunSpec,
    SplitSpec,
    canonical_json,
    loss_label,
)
from noisedash.studies.files import load_run_file, load_study_file

DOCS = Path(__file__).parents[1] / "docs"
HASHES = {"bccd": "a" * 64}
WEIGHTS = {"coco": "b" * 64}


def find(table: dict[str, str], name: str) -> str:
    if name not in table:
        raise NotFoundError(f"There is no '{name}'.")
    return table[name]


def data_of(name: str) -> tuple[str, SplitSpec]:
    return find(HASHES, name), SplitSpec(kind="random", seed=4)


def initial_of(name: str) -> FromWeights:
    return FromWeights(sha256=find(WEIGHTS, name))


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "pain.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_studies_of_the_findings_can_be_submitted() -> None:
    studies = {path: load_study_file(path, data_of, initial_of) for path in (DOCS / "studies").iterdir()}
    told = (DOCS / "findings.md").read_text(encoding="utf-8")
    assert {study.name: len(study.specs) for study in studies.values()} == {"long-bccd": 18}
    assert all(f"study submit docs/studies/{path.name}" in told for path in studies)


def test_the_example_of_the_documentation(write) -> None:
    study = load_study_file(
        write("""
name: threshold-of-pain
dataset: bccd
weights: coco
reset_class_head: true
base:
  training: {steps: 300, batch_size: 16}
  optimizer: {kind: adamw, learning_rate: 0.002}
losses: [ce, {kind: focal, gamma: 2, alpha: 0.25}]
gammas: [0, 5]
missing_rates: [0, 0.3, 0.5]
seeds: [0, 1, 2]
noise_seed: run
"""),
        data_of,
        initial_of,
    )
    assert (study.name, study.dataset_name) == ("threshold-of-pain", "bccd")
    assert len(study.specs) == 4 * 3 * 3
    assert [loss_label(spec.loss) for spec in study.specs[:4]] == ["CE", "FL γ=2", "FL γ=0", "FL γ=5"]
    assert study.specs[1].loss == Focal(gamma=2, alpha=0.25)
    assert {spec.initial for spec in study.specs} == {FromWeights(sha256="b" * 64, reset_class_head=True)}
    assert {spec.data for spec in study.specs} == {
        DataSpec(content_hash="a" * 64, split=SplitSpec(kind="random", seed=4))
    }
    assert {(spec.training.steps, spec.training.batch_size) for spec in study.specs} == {(300, 16)}
    assert {spec.optimizer for spec in study.specs} == {AdamW(learning_rate=0.002)}
    assert all(step.seed == spec.training.seed for spec in study.specs for step in spec.noise.steps)


def test_what_is_left_out_is_the_papers(write) -> None:
    study = load_study_file(write("dataset: bccd"), data_of, initial_of)
    (spec,) = study.specs
    assert study.name == "pain"
    assert spec.loss == CrossEntropy()
    assert isinstance(spec.initial, FromScratch)
    assert spec.optimizer == RmsPropTf()
    assert spec.noise.steps == ()


def test_the_noise_of_the_base_stays_beside_the_missing_labels(write) -> None:
    path = write("""
dataset: bccd
base:
  noise: {steps: [{kind: extra, rate: 0.1}, {kind: missing, rate: 0.2, weighting: {kind: size, exponent: -1}}]}
missing_rates: [0, 0.5]
seeds: [0, 3]
noise_seed: run
""")
    extra, who = ExtraNoise(rate=0.1), BySize(exponent=-1)
    assert [spec.noise.steps for spec in load_study_file(path, data_of, initial_of).specs] == [
        (extra,),
        (MissingNoise(rate=0.5, weighting=who), extra),
        (ExtraNoise(rate=0.1, seed=3),),
        (MissingNoise(rate=0.5, seed=3, weighting=who), ExtraNoise(rate=0.1, seed=3)),
    ]


def test_a_missing_rate_of_the_base_holds_where_no_rates_are_listed(write) -> None:
    path = write("dataset: bccd\nbase: {noise: {steps: [{kind: missing, rate: 0.2}]}}\nnoise_seed: 5")
    (spec,) = load_study_file(path, data_of, initial_of).specs
    assert spec.noise.steps == (MissingNoise(rate=0.2, seed=5),)


def test_runs_are_laid_over_the_base(write) -> None:
    study = load_study_file(
        write("""
dataset: bccd
split: {seed: 2}
base: {training: {steps: 10, seed: 1}, loss: {kind: focal, gamma: 5}, optimizer: {kind: sgd, momentum: 0.5}}
runs:
  - {}
  - {training: {seed: 3}, loss: {alpha: 0.5}}
  - {loss: {kind: ce}, optimizer: {kind: adamw}, noise: {steps: [{kind: missing, rate: 0.2}]}}
"""),
        data_of,
        initial_of,
    )
    first, second, third = study.specs
    assert first.loss == Focal(gamma=5)
    assert first.data.split == SplitSpec(seed=2)
    assert second.loss == Focal(gamma=5, alpha=0.5)
    assert (second.training.steps, second.training.seed) == (10, 3)
    assert third.loss == CrossEntropy()
    assert third.optimizer == AdamW()
    assert third.noise.missing_rate == 0.2


def test_a_run_folder_s_spec_is_a_run_file(write) -> None:
    spec = RunSpec(data=DataSpec(content_hash="c" * 64), loss=Focal(gamma=3))
    assert load_run_file(write(canonical_json(spec)), data_of, initial_of) == spec


def test_a_study_file_of_one_run_is_a_run_file(write) -> None:
    path = write("dataset: bccd\nlosses: [{kind: focal, gamma: 5}]\nmissing_rates: [0.5]")
    assert load_run_file(path, data_of, initial_of) == load_study_file(path, data_of, initial_of).specs[0]
    with pytest.raises(SpecError, match=r"makes 2 runs, and one is wanted"):
        load_run_file(write("dataset: bccd\ngammas: [0, 5]"), data_of, initial_of)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: bccd\nlosess: [ce]", r"pain\.yaml: losess: extra inputs are not permitted"),
        ("name: x", r"pain\.yaml: dataset: field required"),
        ("dataset: bccd\ngammas: [-1]", r"Focal loss with gamma -1: gamma: .*greater than or equal to 0"),
        (
            "dataset: bccd\nbase: {noise: {steps: [{kind: extra, rate: 0.2, seed: 1}]}}",
            r"drawn by its noise_seed: leave the seed of extra out",
        ),
        ("dataset: bccd\nmissing_rates: [1.5]", r"Missing labels at 1\.5: rate: .*less than or equal to 1"),
        ("dataset: bccd\nlosses: [hinge]", r"pain\.yaml, loss 1: its kind must be one of ce, focal, got 'hinge'"),
        ("dataset: bccd\nlosses: [{gamma: 2}]", r"loss 1: its kind must be one of ce, focal, got None"),
        ("dataset: bccd\nlosses: [ce, {kind: ce, gamma: 2}]", r"loss 2: gamma: extra inputs"),
        ("dataset: bccd\nbase: {training: {stepz: 3}}", r"pain\.yaml, base: training\.stepz: extra inputs"),
        ("dataset: bccd\nbase: {data: 3}", r"pain\.yaml: all runs share one dataset; write 'dataset: NAME'"),
        ("dataset: bccd\nruns: [{data: {split: {seed: 3}}}]", r"pain\.yaml: all runs share one dataset"),
        ("dataset: bccd\nsplit: {kind: fair}", r"pain\.yaml, base: data\.split\.kind"),
        ("dataset: bccd\nruns: [{}, {training: {steps: 0}}]", r"pain\.yaml, run 2: training\.steps"),
        ("dataset: bccd\nruns: [{}]\nseeds: [1]\ngammas: [1]", r"lists runs, so gammas, seeds would be ignored"),
        ("dataset: [unclosed", r"pain\.yaml, line 1 is not valid YAML"),
        ("- a\n- b", r"pain\.yaml does not hold settings with names"),
        ("1: a", r"pain\.yaml does not hold settings with names"),
        ("", r"pain\.yaml does not hold settings with names"),
    ],
)
def test_a_slip_is_told_with_its_place(write, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_study_file(write(text), data_of, initial_of)


@pytest.mark.parametrize("text", ["dataset: coco", "dataset: bccd\nweights: voc"])
def test_names_that_do_not_exist_are_told(write, text: str) -> None:
    with pytest.raises(NotFoundError, match="There is no '"):
        load_study_file(write(text), data_of, initial_of)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml cannot be read \(No such file or directory\)"):
        load_study_file(tmp_path / "none.yaml", data_of, initial_of)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"binary\.yaml is not text in UTF-8"):
        load_run_file(tmp_path / "binary.yaml", data_of, initial_of)
    with pytest.raises(SpecError, match=r"cannot be read"):
        load_run_file(tmp_path, data_of, initial_of)
