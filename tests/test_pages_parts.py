"""What stands behind the pages: the image route, its guards, noise on images, progress, plans."""

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
from noisedash.noise.recipe import Fate, apply_recipe
from noisedash.records import JobRecord, JobState, Progress, Wanted
from noisedash.settings import Settings, current_settings
from noisedash.spec import MissingNoise, NoiseRecipe
from noisedash.studies.overrides import apply_overrides
from noisedash.ui import noise, plan
from noisedash.ui.images import image_route
from noisedash.ui.jobs import possible
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


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0])
@pytest.mark.parametrize("seed", [0, 7])
def test_page_drops_what_training_drops(rate: float, seed: int, rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), seed)
    train = split(rooms, default_split(rooms)).train
    noisy = apply_recipe(train, NoiseRecipe(steps=(MissingNoise(rate=rate, seed=seed),)))
    dropped = dict(zip(train.boxes.box_id.tolist(), (noisy.fate == Fate.DROPPED).tolist(), strict=True))
    shown = zip(training.train.boxes.box_id.tolist(), training.dropped(rate).tolist(), strict=True)
    assert all(dropped[box_id] == is_dropped for box_id, is_dropped in shown)


def test_images_are_asked_for_by_their_row_in_the_whole_dataset(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), 0)
    for row, full_row in enumerate(training.full_row):
        assert training.train.images.file[row] == rooms.images.file[full_row]


def test_filter_by_class_and_fate(rooms: Dataset) -> None:
    training = noise.training_set(rooms, default_split(rooms), 0)
    boxes, dropped = training.train.boxes, training.dropped(0.5)
    everything = noise.Filter((), noise.ALL, 0.5).shown(training)
    assert everything.all()
    gone = noise.Filter((), noise.DROPPED, 0.5).shown(training)
    kept = noise.Filter((), noise.KEPT, 0.5).shown(training)
    np.testing.assert_array_equal(gone, dropped)
    np.testing.assert_array_equal(kept, ~dropped)
    chosen = int(boxes.class_id[0])
    of_class = noise.Filter((chosen,), noise.ALL, 0.5).shown(training)
    assert set(boxes.class_id[of_class].tolist()) == {chosen}
    assert set(noise.images_with(training, gone)) == set(boxes.image_index[dropped].tolist())


def test_crowd_regions_are_never_dropped(rooms: Dataset) -> None:
    crowd = np.zeros(len(rooms.boxes), dtype=bool)
    crowd[::5] = True
    crowded = Dataset(rooms.name, rooms.root, rooms.classes, rooms.images, replace(rooms.boxes, crowd=crowd))
    training = noise.training_set(crowded, default_split(crowded), 0)
    assert not training.dropped(1.0)[training.train.boxes.crowd].any()
    assert training.dropped(1.0)[~training.train.boxes.crowd].all()
    row = int(training.train.boxes.image_index[training.train.boxes.crowd][0])
    frame = noise.box_frame(noise.drawn_boxes(training, row, np.ones(len(training.train.boxes), dtype=bool)), 0.5)
    assert "crowd region" in frame["at 50 %"].tolist()


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
