"""What stands behind the pages: the image route, its guards, noise on images, progress, plans."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import asgi_client
import cv2
import demo_store
import numpy as np
import pytest
from starlette.applications import Starlette

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.splits import default_split, split
from noisedash.errors import SpecError
from noisedash.frozen import parse
from noisedash.noise.recipe import Fate, apply_recipe
from noisedash.noise_spec import ExtraNoise, InaccurateNoise, MissingNoise, NoiseRecipe, WrongClassNoise
from noisedash.records import JobRecord, JobState, Progress, Wanted
from noisedash.settings import Settings, current_settings
from noisedash.studies.files import read_settings
from noisedash.studies.overrides import apply_overrides
from noisedash.ui import noise, plan
from noisedash.ui.images import image_route
from noisedash.ui.job_card import possible
from noisedash.ui.layout import plain
from noisedash.ui.progress import progress_in_words, remaining_s, share_done, state_in_words
from noisedash.ui.security import middleware
from noisedash.ui.server import serve_command


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    folder = tmp_path_factory.mktemp("drawn")
    return folder, demo_store.draw_rooms(Settings(folder, ""), folder, images=16)


@pytest.fixture
def rooms(drawn: tuple[Path, Dataset], monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("NOISEDASH_HOME", str(drawn[0]))
    return drawn[1]


Get = Callable[..., asgi_client.Answer]


@pytest.fixture
def get(rooms: Dataset) -> Get:
    """GET of a path of the image route behind its guards."""
    return partial(asgi_client.get, Starlette(routes=[image_route()], middleware=middleware()))


# The image route


def test_thumbnail_is_the_image_made_small(get: Get, rooms: Dataset) -> None:
    answer = get("/img/rooms/3?w=192")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 192
    full = cv2.imread(str(rooms.image_path(3)))
    small = cv2.resize(full, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("width", ["99999999", "-5", "wide", "", "9" * 5000, "٣"])
def test_any_width_is_clamped(width: str, get: Get) -> None:
    assert get(f"/img/rooms/0?w={quote(width)}").status == 200


@pytest.mark.parametrize(
    "path", ["rooms/16", "rooms/-1", "rooms/x", f"rooms/{'9' * 5000}", "no-such/0", "..%2Frooms/0"]
)
def test_what_is_not_there_is_404_in_one_sentence(path: str, get: Get) -> None:
    answer = get(f"/img/{path}")
    assert answer.status == 404
    assert len(answer.text.splitlines()) == 1


def test_image_that_is_gone_is_404_in_one_sentence(own_home: Path, tmp_path: Path, get: Get, monkeypatch) -> None:
    monkeypatch.setenv("NOISEDASH_HOME", str(own_home))
    dataset = demo_store.draw_rooms(current_settings(), tmp_path, images=2)
    dataset.image_path(1).unlink()
    answer = get("/img/rooms/1")
    assert answer.status == 404
    assert dataset.images.file[1] in answer.text


def test_built_in_dataset_is_not_drawn_by_a_request(get: Get) -> None:
    assert get("/img/indoor/0").status == 404
    assert "indoor" not in {path.name for path in current_settings().datasets.iterdir()}


def test_foreign_host_names_are_refused(get: Get) -> None:
    assert get("/img/rooms/0", host="evil.example").status == 400


def test_every_answer_carries_the_policy(get: Get) -> None:
    for path in ("/img/rooms/0", "/img/none/0"):
        policy = get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http:" not in policy


def test_command_for_another_address_names_it_as_a_host() -> None:
    assert "--server.allowedHosts" not in serve_command(8501, "127.0.0.1")
    command = serve_command(8501, "192.168.1.5")
    assert "192.168.1.5" in command[command.index("--server.allowedHosts") :]


# Noise on images


ALL_KINDS = NoiseRecipe(
    steps=(
        MissingNoise(rate=0.3, seed=7),
        InaccurateNoise(rate=0.4, seed=7),
        WrongClassNoise(rate=0.4, seed=7),
        ExtraNoise(rate=0.4, seed=7),
    )
)


def missing(rate: float, seed: int = 0) -> NoiseRecipe:
    return NoiseRecipe(steps=(MissingNoise(rate=rate, seed=seed),))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0])
@pytest.mark.parametrize("seed", [0, 7])
def test_page_tells_at_which_rate_each_box_goes(rate: float, seed: int, rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), missing(0.5, seed))
    train = split(rooms, default_split(rooms)).train
    noisy = apply_recipe(train, missing(rate, seed))
    np.testing.assert_array_equal(training.drops_above < rate, noisy.fate == Fate.DROPPED)


def test_page_shows_what_training_sees(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), ALL_KINDS)
    noisy = apply_recipe(split(rooms, default_split(rooms)).train, ALL_KINDS)
    everything = np.ones(len(training.image_index), dtype=bool)
    drawn = [
        (row, box) for row in range(len(training.clean.images)) for box in noise.drawn_boxes(training, row, everything)
    ]
    seen = sorted((row, box.x, box.y, box.label) for row, box in drawn if "dropped" not in box.fates)
    boxes = noisy.boxes
    assert seen == sorted(
        (image, corners[0], corners[1], rooms.classes[class_id])
        for image, corners, class_id in zip(
            boxes.image_index.tolist(), boxes.xyxy.tolist(), boxes.class_id.tolist(), strict=True
        )
    )
    assert len(drawn) - len(seen) == len(noisy.dropped)
    for _, box in drawn:
        assert ("moved" in box.fates) == (box.was_xyxy is not None) == (box.iou is not None)
        assert ("relabelled" in box.fates) == (box.was_label != box.label) == (f"was {box.was_label}" in box.story)
        assert ("invented" in box.fates) == (box.drops_above is None)


def test_images_are_asked_for_by_their_row_in_the_whole_dataset(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), missing(0.5))
    for row, full_row in enumerate(training.full_row):
        assert training.clean.images.file[row] == rooms.images.file[full_row]


def test_filter_by_class_and_fate(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), ALL_KINDS)
    assert noise.Filter((), noise.ALL).shown(training).all()
    of_fate = {fate: noise.Filter((), fate).shown(training) for fate in noise.FATES[1:]}
    assert all(of_box.any() for of_box in of_fate.values())
    both = of_fate[noise.MOVED] & of_fate[noise.RELABELLED]
    assert (sum(of_box.astype(int) for of_box in of_fate.values()) == 1 + both).all()
    chosen = int(training.clean.boxes.class_id[0])
    of_class = noise.Filter((chosen,), noise.ALL).shown(training)
    np.testing.assert_array_equal(of_class, (training.classes[0] == chosen) | (training.classes[1] == chosen))
    dropped = of_fate[noise.DROPPED]
    assert set(noise.images_with(training, dropped)) == set(training.image_index[dropped].tolist())


def test_crowd_regions_are_never_hit(rooms: Dataset) -> None:
    crowd = np.zeros(len(rooms.boxes), dtype=bool)
    crowd[::5] = True
    crowded = Dataset(rooms.name, rooms.root, rooms.classes, rooms.images, replace(rooms.boxes, crowd=crowd))
    training = noise.training_set(crowded, default_split(crowded), missing(1.0))
    boxes = training.clean.boxes
    np.testing.assert_array_equal(training.has_fate[noise.DROPPED], ~boxes.crowd)
    row = int(boxes.image_index[boxes.crowd][0])
    frame = noise.box_frame(noise.drawn_boxes(training, row, np.ones(len(boxes), dtype=bool)))
    assert "crowd" in frame["what happened"].tolist()


def test_the_report_on_the_page_is_the_report(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), ALL_KINDS)
    frame = noise.hit_frame(training)
    assert frame["boxes"].tolist() == [
        "all boxes", *(f"class {name}" for name in rooms.classes), "size small", "size medium", "size large",
    ]  # fmt: skip
    number = len(training.clean.boxes)
    assert frame["missing"].iloc[0] == len(training.noisy.dropped)
    assert frame["extra, %"].iloc[0] == pytest.approx(100 * len(training.noisy.invented) / number)
    assert len(noise.hit_frame(noise.training_set(rooms, default_split(rooms), missing(0.0)))) == 0


def test_a_box_says_in_one_line_what_became_of_it(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), ALL_KINDS)
    both = np.flatnonzero(training.has_fate[noise.MOVED] & training.has_fate[noise.RELABELLED])[0]
    boxes = noise.drawn_boxes(training, int(training.image_index[both]), np.ones(len(training.image_index), bool))
    frame = noise.box_frame(boxes)
    lines = [line for line in frame["what happened"] if "moved" in line and "relabelled" in line]
    assert lines
    assert re.fullmatch(r"↔ moved, IoU 0\.\d\d; ≠ relabelled, was [\w ]+", lines[0])
    number = training.has_fate[noise.NEW][training.image_index == int(training.image_index[both])].sum()
    assert (f"+{number}" in noise.caption(training, int(training.image_index[both]))) == (number > 0)


def test_the_recipe_on_the_page_can_be_taken_away(rooms: Dataset, tmp_path: Path) -> None:
    recipe = NoiseRecipe(steps=(*ALL_KINDS.steps[1:], MissingNoise(rate=0)))
    file = tmp_path / "recipe.yaml"
    file.write_text(noise.recipe_text(recipe))
    assert parse(NoiseRecipe, read_settings(file), "recipe.yaml") == NoiseRecipe(steps=ALL_KINDS.steps[1:])


# Progress


def job(state: JobState, steps_done: int = 0, **changes) -> JobRecord:
    spec = apply_overrides(demo_store.demo_study("0" * 64).specs[0], {"steps": "600", "batch_size": "16"})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    progress = Progress("training", steps_done, 600, images_per_s=160.0) if steps_done else None
    record = JobRecord(
        id=1, run_id=spec.id, spec=spec, dataset_name="rooms", state=state, wanted=Wanted.RUN, priority=0, attempts=1,
        max_attempts=3, reason="", worker="", progress=progress, created_at=now, started_at=now,
        finished_at=now + timedelta(seconds=60), claims=1,
    )  # fmt: skip
    return replace(record, **changes)


def test_time_left_is_that_of_the_slots() -> None:
    done, queued = job(JobState.DONE), job(JobState.QUEUED)
    assert remaining_s([done, queued, queued, queued], slots=1) == pytest.approx(180)
    assert remaining_s([done, queued, queued, queued], slots=2) == pytest.approx(120)
    assert remaining_s([done, job(JobState.RUNNING, 300), queued], slots=2) == pytest.approx(60)
    assert remaining_s([job(JobState.RUNNING, 300)], slots=1) == pytest.approx(300 * 16 / 160)


def test_time_left_is_not_guessed_without_a_sign() -> None:
    assert remaining_s([job(JobState.QUEUED)], slots=1) is None
    assert remaining_s([job(JobState.DONE)], slots=1) is None


def test_share_and_words_of_progress() -> None:
    jobs = [job(JobState.DONE), job(JobState.RUNNING, 300), job(JobState.QUEUED), job(JobState.FAILED)]
    assert share_done(jobs) == pytest.approx(1.5 / 4)
    assert progress_in_words(jobs, 90) == "1 of 4 runs done, 1 running, 1 queued, 1 failed; about 1 min 30 s left"


def test_state_tells_the_wish() -> None:
    assert state_in_words(job(JobState.RUNNING, 3, wanted=Wanted.CANCEL)) == "▶ running, to cancel"


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        (JobState.QUEUED, Wanted.RUN, ["cancel", "pause"]),
        (JobState.RUNNING, Wanted.RUN, ["cancel", "pause"]),
        (JobState.RUNNING, Wanted.CANCEL, ["pause", "resume"]),
        (JobState.PAUSED, Wanted.RUN, ["cancel", "resume"]),
        (JobState.FAILED, Wanted.RUN, ["retry"]),
        (JobState.DONE, Wanted.RUN, []),
    ],
)
def test_what_can_be_asked_of_a_job(state: JobState, wanted: Wanted, expected: list[str]) -> None:
    assert [event.value for event in possible(job(state, wanted=wanted))] == expected


# Plans and words


def test_typed_numbers() -> None:
    assert plan.numbers(["2", "2.0", "10"], "γ") == (2.0, 10.0)
    with pytest.raises(SpecError, match="finite"):
        plan.numbers(["nan"], "γ")


def test_markdown_is_disarmed() -> None:
    assert plain(":red[x] $y$ <b>") == r"\:red\[x\] \$y\$ \<b\>"
    assert "\n" not in plain("# one\n# two")
