"""The command line: what scripts read, and one clear sentence for every slip."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dataset_files import SIZE_WH, coco_box, coco_json, make_coco, make_voc, voc_object, write_jpeg

from noisedash.cli.app import main

TINY = ["steps=2", "batch_size=2", "input_side=96", "depth_multiplier=0.25", "warmup_steps=0"]


class Command:
    """Runs `noisedash` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> str:
        """What a command that succeeds prints."""
        status, out, error = self._run(*arguments)
        assert status == 0, error
        return out

    def json(self, *arguments: object):
        return json.loads(self(*arguments, "--json"))

    def error(self, *arguments: object) -> str:
        """The one sentence of a command that fails."""
        status, out, error = self._run(*arguments)
        assert status != 0
        assert "Traceback" not in out + error
        return error

    def _run(self, *arguments: object) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["noisedash", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = self._capsys.readouterr()
        return int(ended.value.code or 0), out, error


@pytest.fixture
def noisedash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A VOC set of ten pictures with two boxes each, eight of them to train on."""
    objects = [voc_object("cell", (5, 5, 20, 20)), voc_object("rod", (30, 10, 50, 35))]
    stems = [f"p{number}" for number in range(10)]
    lists = {"train": stems[:8], "test": stems[8:]}
    return make_voc(tmp_path / "cells", dict.fromkeys(stems, objects), lists)


def test_data_is_registered_listed_shown_and_forgotten(noisedash: Command, cells: Path) -> None:
    added = noisedash.json("data", "add", cells, "--name", "cells")
    assert (added["table"]["images"], added["table"]["instances"], added["table"]["classes"]) == (10, 20, 2)
    assert {entry["name"]: entry["ready"] for entry in noisedash.json("data", "list")}["cells"] is True
    assert "cells" in noisedash("data", "list")
    shown = noisedash("data", "show", "cells")
    assert "instances 20" in shown
    assert "train 8" in shown
    noisedash("data", "remove", "cells")
    assert "There is no dataset 'cells'" in noisedash.error("data", "show", "cells")
    assert (cells / "JPEGImages" / "p0.jpg").is_file()


def test_noise_is_written_with_the_history_of_every_box(noisedash: Command, cells: Path, tmp_path: Path) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    out = tmp_path / "noisy"
    summary = noisedash.json("noise", "apply", "cells", "--missing", 0.3, "--out", out, "--format", "coco")
    assert summary["boxes"] == {"clean": 16, "noisy": 11, "dropped": 5, "moved": 0, "relabelled": 0, "invented": 0}
    assert len((out / "provenance.csv").read_text().splitlines()) == 1 + 16
    assert "exists already" in noisedash.error("noise", "apply", "cells", "--missing", 0.3, "--out", out)


def test_noise_of_all_kinds_is_told_and_made_again_from_its_recipe(
    noisedash: Command, cells: Path, tmp_path: Path
) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    rates = ["--missing", 0.25, "--inaccurate", 0.5, "--wrong-class", 0.25, "--extra", 0.5, "--seed", 4]
    who = ["--weighting", "class:rod=3,cell=0", "--weighting", "missing:images"]
    told = noisedash("noise", "apply", "cells", *rates, *who, "--out", tmp_path / "one")
    assert "16 training boxes became 20 (4 dropped, 6 moved, 3 relabelled, 8 invented)" in told
    lines = {line.split("  ")[0].strip(): line for line in told.splitlines()}
    assert "4 of 16, 25.0%" in lines["all"]
    assert "0 of" in lines["class cell"]
    assert "mean IoU" in told
    again = noisedash.json(
        "noise", "apply", "cells", "--recipe", tmp_path / "one" / "recipe.json", "--out", tmp_path / "two"
    )
    for name in ("provenance.csv", "recipe.json", "Annotations/p0.xml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert again["recipe"]["steps"][0]["weighting"] == {"kind": "images"}
    assert {row["from"]: row["to"] for row in again["relabellings"]} == {"rod": "cell"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "No noise is asked for: give one of --missing, --inaccurate, --wrong-class, --extra, or --recipe"),
        (["--missing", 1.5], "steps.0.missing.rate: input should be less than or equal to 1, got 1.5"),
        (["--missing", 0.1, "--seed", -1], "seed: input should be greater than or equal to 0"),
        (["--missing", 0.1, "--weighting", "luck"], "weighting: input tag 'luck'"),
        (["--missing", 0.1, "--weighting", "images:3"], "--weighting images:3 is not understood: write uniform, size:"),
        (["--missing", 0.1, "--weighting", "size:many"], "exponent: input should be a valid number"),
        (["--missing", 0.1, "--weighting", "size:0.3"], "exponent: input should be a multiple of 0.25"),
        (["--missing", 0.1, "--weighting", "extra:size"], "is of a kind that no rate is given for: add --extra"),
        (["--extra", 0.1, "--weighting", "images"], "steps.0.extra.weighting: input tag 'images'"),
        (["--missing", 0.1, "--weighting", "class:yak=2"], "names 'yak', which is no class of the dataset"),
        (["--recipe", "none.yaml"], "none.yaml cannot be read"),
        (["--recipe", "none.yaml", "--extra", 0.1], "none.yaml cannot be read"),
    ],
)
def test_noise_that_cannot_be_is_refused_in_one_sentence(
    noisedash: Command, cells: Path, tmp_path: Path, arguments: list[object], sentence: str
) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    error = noisedash.error("noise", "apply", "cells", *arguments, "--out", tmp_path / "noisy")
    assert error.startswith("Error: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "noisy").exists()


def test_a_recipe_and_rates_are_not_mixed(noisedash: Command, cells: Path, tmp_path: Path) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: [{kind: extra, rate: 0.5, max_iou: 0.3}]")
    out = tmp_path / "noisy"
    mixed = noisedash.error("noise", "apply", "cells", "--recipe", recipe, "--missing", 0.1, "--out", out)
    assert "Give either --recipe, or rates" in mixed
    assert noisedash.json("noise", "apply", "cells", "--recipe", recipe, "--out", out)["boxes"]["invented"] == 8
    recipe.write_text("stepz: []")
    assert "stepz" in noisedash.error("noise", "apply", "cells", "--recipe", recipe, "--out", tmp_path / "other")


def order_and_clone(noisedash: Command, study: str) -> None:
    """What can be asked of the order of jobs, of a study, and of a run that shall differ."""

    def waiting() -> list[int]:
        return [job["id"] for job in noisedash.json("queue", "list", "--study", study, "--state", "queued")]

    one, two, three, *_ = waiting()
    noisedash("queue", "move", three, "--before", two)
    assert waiting()[:3] == [one, three, two]
    noisedash("queue", "move", two, "--first")
    assert waiting()[:3] == [two, one, three]
    noisedash("queue", "priority", three, 4)
    assert waiting()[0] == three
    assert "one of --before ID, --first and --last" in noisedash.error("queue", "move", three)
    assert "priority 4 and job" in noisedash.error("queue", "move", three, "--before", one)
    assert "11 jobs have priority 0" in noisedash("study", "priority", study, 0)
    assert "11 jobs are to be paused" in noisedash("study", "pause", study)
    assert waiting() == []
    assert "11 jobs go on" in noisedash("study", "resume", study)
    cloned = noisedash.json("queue", "clone", three, "--set", "steps=3", "--name", "copy")
    assert (cloned["study"], cloned["new"]) == ("copy", 1)
    assert noisedash.json("queue", "show", cloned["id"])["spec"]["training"]["steps"] == 3
    assert "would be the same run" in noisedash.error("queue", "clone", cloned["id"], "--set", "steps=3")
    noisedash("study", "cancel", "copy")
    assert "1 jobs are queued again" in noisedash("study", "retry", "copy")
    assert "No worker runs" in noisedash("queue", "list")
    assert noisedash.json("queue", "workers") == []


def test_a_run_trains_on_labels_damaged_in_all_four_ways(noisedash: Command, cells: Path, tmp_path: Path) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    rates = {"missing": 0.25, "inaccurate": 1, "wrong_class": 0.5, "extra": 1}
    kinds = json.dumps([{"kind": kind, "rate": rate} for kind, rate in rates.items()])
    spec = tmp_path / "noisy.yaml"
    spec.write_text(
        "dataset: cells\nbase:\n"
        "  training: {steps: 2, batch_size: 2}\n  detector: {input_side: 96, depth_multiplier: 0.25}\n"
        f"  noise: {{steps: {kinds}}}\n"
    )
    ran = noisedash.json("run", spec)
    assert {result["score_threshold"] for result in ran["results"]} == {0.01, 0.3}


def test_a_study_is_submitted_once_trained_and_read_off(noisedash: Command, cells: Path, tmp_path: Path) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    settings = [part for setting in TINY for part in ("--set", setting)]
    submit = ["study", "submit", "paper-losses", "--dataset", "cells", *settings]
    first, again = noisedash.json(*submit), noisedash.json(*submit)
    assert (first["new"], first["existing"]) == (12, 0)
    assert (again["study"], again["new"], again["existing"]) == ("paper-losses-cells", 0, 12)
    listed = noisedash.json("queue", "list")
    assert [job["state"] for job in listed] == ["queued"] * 12
    assert "not finished within 0 s: 12 queued" in noisedash.error("study", "wait", first["study"], "--timeout", 0)
    assert "No run of paper-losses-cells has finished yet" in noisedash("study", "results", first["study"])

    spec = tmp_path / "one.yaml"
    spec.write_text(json.dumps(noisedash.json("queue", "show", listed[0]["id"])["spec"]))
    ran = noisedash.json("run", spec)
    assert {result["score_threshold"] for result in ran["results"]} == {0.01, 0.3}
    rows = noisedash.json("study", "results", first["study"])
    assert [(row["loss"], row["missing_rate"], row["threshold"]) for row in rows] == [("CE", 0, 0.01), ("CE", 0, 0.3)]
    noisedash("study", "results", first["study"], "--csv", tmp_path / "results.csv")
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 2 * 3
    assert "kept" in str(noisedash.json("weights", "keep", ran["run_id"], "--name", "kept"))

    job = listed[1]["id"]
    noisedash("queue", "pause", job)
    noisedash("queue", "resume", job)
    noisedash("queue", "cancel", job)
    assert noisedash.json("queue", "show", job)["state"] == "cancelled"
    noisedash("queue", "retry", job)
    order_and_clone(noisedash, first["study"])
    assert noisedash("study", "cancel", first["study"]).startswith("11 jobs")
    assert "11 cancelled" in noisedash.error("study", "wait", first["study"])


def test_a_study_has_other_noise_beside_its_missing_labels_and_every_list_says_so(
    noisedash: Command, cells: Path, tmp_path: Path
) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    noise = tmp_path / "noise.yaml"
    noise.write_text(
        "steps: [{kind: wrong_class, rate: 0.2}, {kind: missing, rate: 0, weighting: {kind: size, exponent: -1}}]"
    )
    noisedash("study", "submit", "paper-losses", "--dataset", "cells", "--noise", noise, "--set", "steps=1")
    jobs = noisedash.json("queue", "list")
    assert {(job["missing_rate"], job["noise"]) for job in jobs if job["missing_rate"] in (0, 0.5)} == {
        (0, "20 % wrong class"),
        (0.5, "50 % missing by size^-1, 20 % wrong class"),
    }
    assert "50 % missing by size^-1, 20 % wrong class" in noisedash("queue", "list")
    assert "ssd_mobilenet_v1" not in noisedash("queue", "list"), "one network goes without saying"
    assert "20 % wrong class" in noisedash("queue", "show", jobs[0]["id"])
    error = noisedash.error("queue", "clone", jobs[-1]["id"], "--set", "wrong_class.confusion={cell: {yak: 1}}")
    assert "The noise names 'yak'" in error
    noisedash("queue", "clone", jobs[-1]["id"], "--set", "detector=retinanet_resnet50_fpn")
    networks = {job["detector"] for job in noisedash.json("queue", "list")}
    assert networks == {"ssd_mobilenet_v1 x 1", "retinanet_resnet50_fpn"}
    assert all(network in noisedash("queue", "list") for network in networks)


SSDLITE = "ssdlite320_mobilenet_v3_large"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "gamma=-1"], "gamma"),
        (["--set", "rate=1.5"], "rate"),
        (["--set", "stepz=3"], "steps"),
        (["--set", "steps"], "write KEY=VALUE"),
        (["--seeds", "0,x"], "whole numbers"),
        (["--weights", "nosuch"], "There are no weights 'nosuch'"),
        (
            ["--set", f"detector.kind={SSDLITE}", "--set", "batch_size=1"],
            f"{SSDLITE} cannot be trained on batches of one image",
        ),
        (["--weights", "indoor-micro"], "are of ssd_mobilenet_v1 x 0.25, and the detector is ssd_mobilenet_v1 x 1"),
        (["--set", "initial={kind: weights, sha256: " + "a" * 64 + "}"], "There are no weights 'aaa"),
        (["--noise", "noise.yaml"], "The noise names 'yak', which is no class of the dataset"),
        (["--noise", "nosuch.yaml"], "nosuch.yaml cannot be read"),
        (["--dataset", "nosuch"], "There is no dataset 'nosuch'"),
        (["--name", " "], "cannot be a study's name"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_one_sentence(
    noisedash: Command,
    cells: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    noisedash("data", "add", cells, "--name", "cells")
    monkeypatch.chdir(tmp_path)
    Path("noise.yaml").write_text("steps: [{kind: wrong_class, rate: 0.1, confusion: {cell: {yak: 1}}}]")
    error = noisedash.error("study", "submit", "paper-losses", "--dataset", "cells", *arguments)
    assert error.startswith("Error: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert noisedash.json("study", "list")["studies"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study", "submit", "nosuch"], "There is no study recipe 'nosuch'"),
        (["study", "submit", "paper-losses"], "needs a dataset: name one with --dataset"),
        (["study", "show", "nosuch"], "nosuch"),
        (["queue", "show", "7"], "7"),
        (["queue", "cancel", "7"], "7"),
        (["run", "nosuch.yaml"], "nosuch.yaml"),
        (["noise", "apply", "indoor", "--missing", "1.5", "--out", "x"], "less than or equal to 1"),
        (["weights", "import", "nosuch.tflite"], "nosuch.tflite"),
        (["weights", "keep", "nosuch", "--name", "x"], "nosuch"),
        (["data", "add", "nosuch", "--name", "x"], "nosuch"),
    ],
)
def test_what_does_not_exist_is_told_in_one_sentence(
    noisedash: Command, arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = noisedash.error(*arguments)
    assert sentence in error
    assert error.count("\n") == 1


def damaged(folder: Path, damage: str) -> Path:
    """A dataset with one thing wrong."""
    boxes = [coco_box(1, 1, [5, 5, 10, 10]), coco_box(2, 2, [5, 5, 10, 10])]
    if damage == "nothing":
        folder.mkdir()
        return folder
    if damage == "empty XML":
        make_voc(folder, {"a": [voc_object("cat", (1, 1, 9, 9))]})
        (folder / "Annotations" / "a.xml").write_text("")
        return folder
    make_coco(folder, boxes)
    path = folder / "annotations" / "instances_train2017.json"
    if damage == "missing image":
        (folder / "train2017" / "2.jpg").unlink()
    elif damage == "truncated JPEG":
        write_jpeg(folder / "train2017" / "2.jpg", SIZE_WH)
        whole = (folder / "train2017" / "2.jpg").read_bytes()
        (folder / "train2017" / "2.jpg").write_bytes(whole[: len(whole) // 2])
    elif damage == "JSON cut in half":
        text = path.read_text()
        path.write_text(text[: len(text) // 2])
    elif damage == "unknown class":
        images = [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)]
        path.write_text(coco_json(images, [boxes[0], coco_box(2, 2, [5, 5, 10, 10], category=99)]))
    return folder


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("nothing", "folder"),
        ("empty XML", "a.xml"),
        ("missing image", "2.jpg"),
        ("truncated JPEG", "2.jpg"),
        ("JSON cut in half", "instances_train2017.json"),
    ],
)
def test_a_damaged_dataset_is_refused_and_nothing_is_left(
    noisedash: Command, tmp_path: Path, own_home: Path, damage: str, sentence: str
) -> None:
    error = noisedash.error("data", "add", damaged(tmp_path / "set", damage), "--name", "bad")
    assert error.startswith("Error: ")
    assert sentence in error
    assert not [path for path in own_home.glob("datasets/*") if not path.name.endswith(".lock")]


@pytest.mark.parametrize(
    ("corners", "sentence"),
    [((-9, 5, 20, 20), "reaches out of its image"), ((200, 5, 220, 20), "outside"), ((20, 5, 10, 20), "box 2")],
)
def test_a_wrong_box_is_told_with_file_and_number(
    noisedash: Command, tmp_path: Path, corners: tuple[int, ...], sentence: str
) -> None:
    objects = [voc_object("cat", (5, 5, 20, 20)), voc_object("cat", corners)]
    make_voc(tmp_path / "set", {"a": objects, "b": objects[:1]})
    told = noisedash("data", "add", tmp_path / "set", "--name", "boxes")
    assert "a.xml, box 2" in told
    assert sentence in told


def test_an_unknown_class_is_told(noisedash: Command, tmp_path: Path) -> None:
    told = noisedash("data", "add", damaged(tmp_path / "set", "unknown class"), "--name", "classes")
    assert "99" in told


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_up_says_which_port_is_taken(noisedash: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is taken" in noisedash.error("up", "--port", port)


def test_an_interrupt_ends_up_with_all_its_processes(free_port: int, own_home: Path, tmp_path: Path) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "noisedash", "up", "--port", str(free_port), "--slots", "1"],
        env={**os.environ, "NOISEDASH_HOME": str(own_home)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_server(free_port)
    family = psutil.Process(up.pid).children(recursive=True)
    assert len(family) >= 2
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(30) == 0
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []


def wait_for_server(port: int, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the web app did not come up"
            time.sleep(0.2)
