import hashlib
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from noisedash.datasets import indoor
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.indoor import draw, generation, scene
from noisedash.datasets.indoor.clutter import ON_FLOORS, ON_TOPS, ON_WALLS
from noisedash.datasets.indoor.draw import draw_image
from noisedash.datasets.indoor.finish import IMAGE_WH
from noisedash.datasets.indoor.floor_clutter import cardboard
from noisedash.datasets.indoor.geometry import Camera, clip_to_front, looking, standing
from noisedash.datasets.indoor.paint import blank, round_mask
from noisedash.datasets.indoor.pen import Canvas, Pen
from noisedash.datasets.indoor.placing import LABELLED, Maker, Placed, furnish
from noisedash.datasets.indoor.room import CANVAS_WH, Room, new_canvas, sample_room
from noisedash.datasets.indoor.scene import Picture, draw_scene, owner_box
from noisedash.datasets.registry import DatasetRegistry
from noisedash.errors import DataError, SpecError, StorageError
from noisedash.settings import Settings

SAMPLE = 40


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return indoor.generate(tmp_path_factory.mktemp("indoor") / "images", 12, seed=3)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [draw_scene(np.random.default_rng([5, index])) for index in range(SAMPLE)]


def plain_camera() -> Camera:
    return looking((0.0, 1.0, 0.0), yaw=0.0, pitch=0.0, focal_px=600.0, size_wh=CANVAS_WH)


def draw_alone(maker: Maker, seed: int) -> tuple[Canvas, tuple[float, float, float, float]]:
    model = maker(np.random.default_rng(seed))
    canvas = new_canvas()
    pen = Pen(plain_camera(), canvas, np.array([0.3, 0.8, -0.5]) / np.linalg.norm([0.3, 0.8, -0.5]))
    model.draw(pen, standing((0.0, 0.9, 2.5), 0.3))
    pen.flush(1)
    return canvas, owner_box(canvas.owner, 1)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, small: Dataset) -> None:
    again = indoor.generate(tmp_path / "again", 12, seed=3)
    assert again.content_hash == small.content_hash
    for row in range(len(small.images)):
        assert again.image_path(row).read_bytes() == small.image_path(row).read_bytes()


def test_several_processes_share_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Dataset) -> None:
    monkeypatch.setattr(generation, "_IMAGES_WORTH_A_WORKER", 1)
    commands: list[list[str]] = []
    popen = subprocess.Popen

    def counted(command: list[str], **options: Any) -> "subprocess.Popen[str]":
        commands.append(command)
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", counted)
    shared = indoor.generate(tmp_path / "shared", 16, seed=3, workers=2)
    assert len(commands) == 2
    assert shared.images.file == tuple(f"{index:06d}.jpg" for index in range(16))
    assert shared.images.sha256[:12] == small.images.sha256


def test_another_seed_gives_other_images(tmp_path: Path, small: Dataset) -> None:
    other = indoor.generate(tmp_path / "other", 12, seed=4)
    assert not set(other.images.sha256) & set(small.images.sha256)


def test_the_dataset_describes_its_files(small: Dataset) -> None:
    assert small.classes == indoor.CLASSES == tuple(LABELLED)
    assert len(small.classes) == 7
    for row, digest in enumerate(small.images.sha256):
        data = small.image_path(row).read_bytes()
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert hashlib.sha256(data).hexdigest() == digest
        assert pixels.shape == (small.images.height[row], small.images.width[row], 3)
    assert len(set(small.boxes.box_id.tolist())) == len(small.boxes)
    assert not small.boxes.crowd.any()
    assert not small.boxes.difficult.any()


def test_boxes_are_those_of_the_scene(small: Dataset) -> None:
    _, labels, boxes = draw_image(3, 5)
    rows = small.boxes_of_image[5]
    assert [small.classes[number] for number in small.boxes.class_id[rows]] == list(labels)
    np.testing.assert_array_equal(small.boxes.xyxy[rows], boxes)


@pytest.mark.parametrize(("fraction", "testing"), [(0.2, 2), (1.0, 12)])
def test_the_split_takes_the_floor_of_the_fraction(fraction: float, testing: int, tmp_path: Path) -> None:
    drawn = indoor.generate(tmp_path, 12, seed=3, test_fraction=fraction)
    assert drawn.images.split.count("test") == testing
    assert drawn.images.split.count("train") == 12 - testing


def test_progress_is_told_each_image(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    indoor.generate(tmp_path, 3, seed=0, progress=lambda done, images: told.append((done, images)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_about_two_objects_an_image_of_all_classes(pictures: list[Picture]) -> None:
    labels = [label for picture in pictures for label in picture.labels]
    assert 1.6 < len(labels) / SAMPLE < 2.4
    assert set(labels) == set(indoor.CLASSES)
    assert min(labels.count(name) for name in indoor.CLASSES) >= 4


def test_boxes_are_inside_and_not_tiny(pictures: list[Picture]) -> None:
    boxes = np.concatenate([picture.boxes for picture in pictures])
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (boxes >= 0).all()
    assert (boxes <= np.tile(CANVAS_WH, 2)).all()
    assert sides.min() >= 8
    assert np.median(sides) > 60


def test_boxes_bound_just_the_pixels_that_an_object_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "_cast_shadows", lambda *_: None)
    compared = 0
    for index in range(10):
        rng = np.random.default_rng([9, index])
        room = sample_room(rng)
        things = furnish(rng, room)
        labelled = [thing for thing in things if thing.model.label]
        canvas, _ = scene.render(index, room, things)
        for number, thing in enumerate(labelled, start=1):
            without, _ = scene.render(index, room, [other for other in things if other is not thing])
            changed = (canvas.colour.astype(int) - without.colour).__abs__().max(axis=2) > 4
            rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
            found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            box = owner_box(canvas.owner, number)
            np.testing.assert_allclose(found, box, atol=4, err_msg=f"scene {index}, {thing.model.label}")
            compared += 1
    assert compared > 15


def test_what_is_mostly_hidden_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(plain_camera(), np.array([0.0, 0.8, -0.6]), depth=3.0, side=3.0, height=2.6)
    rng = np.random.default_rng(0)
    chair, box = LABELLED["chair"](rng), cardboard(rng)
    bounds = np.array([0.0, 0.0, 1.0, 1.0])
    seen = Placed(chair, standing((-0.6, 0.0, 2.6), 0.0), 2.6, bounds)
    hidden = Placed(chair, standing((0.4, 0.0, 2.6), 0.0), 2.6, bounds)
    before = [Placed(box, standing((0.22, y, 1.4), 0.0), 1.4 - y, bounds) for y in (0.0, 0.3, 0.6)]
    monkeypatch.setattr(scene, "sample_room", lambda _: room)
    monkeypatch.setattr(scene, "furnish", lambda *_: [hidden, seen, *before])
    picture = draw_scene(rng)
    assert picture.labels == ("chair",)
    assert picture.boxes[0, 2] < 320


@pytest.mark.parametrize("maker", [*LABELLED.values(), *set(ON_WALLS + ON_FLOORS + ON_TOPS)])
def test_every_thing_draws_itself_within_its_size(maker: Maker) -> None:
    for seed in range(3):
        canvas, box = draw_alone(maker, seed)
        assert np.count_nonzero(canvas.owner) > 400
        model = maker(np.random.default_rng(seed))
        reach = np.hypot(model.size[0], model.size[2]) / 2.2 * 600
        assert box[2] - box[0] <= reach * 2
        assert box[3] - box[1] <= (model.size[1] + model.size[2] + 0.1) / 2.2 * 600


def test_the_photograph_is_light_enough_and_no_two_are_alike() -> None:
    means = [draw_image(1, index)[0].mean() for index in range(8)]
    assert all(40 < mean < 245 for mean in means)
    assert all(abs(first - second) > 1e-3 for first, second in pairwise(means))
    assert draw_image(1, 0)[0].shape == (IMAGE_WH[1], IMAGE_WH[0], 3)


def test_a_picture_covers_its_corners_and_owns_what_it_covers() -> None:
    canvas = new_canvas()
    corners = np.array([[100.0, 50.0], [200.0, 60.0], [190.0, 150.0], [110.0, 140.0]])
    disc = round_mask(blank(40, 40, (200.0, 10.0, 20.0)))
    canvas.picture(blank(40, 40, (10.0, 200.0, 20.0)), corners, 1)
    canvas.picture(disc, corners, 2)
    assert owner_box(canvas.owner, 1) == pytest.approx((100, 50, 200, 150), abs=2)
    assert canvas.owner[100, 150] == 2
    assert canvas.owner[55, 105] == 1
    assert canvas.colour[100, 150].tolist() == [200, 10, 20]
    assert canvas.colour[56, 108].tolist() == [10, 200, 20]
    assert canvas.owner[40, 150] == 0


def test_the_camera_projects_as_a_pinhole_does() -> None:
    camera = plain_camera()
    np.testing.assert_allclose(camera.project([[0.5, 1.0, 2.0]]), [[470.0, 240.0]])
    np.testing.assert_allclose(camera.project([[0.0, 2.0, 2.0]]), [[320.0, -60.0]])
    np.testing.assert_allclose(camera.ray((470, 240)) / camera.ray((470, 240))[2], [0.25, 0.0, 1.0])
    up = looking((0.0, 1.0, 0.0), yaw=0.0, pitch=0.1, focal_px=600.0, size_wh=CANVAS_WH)
    assert up.project([[0.0, 1.0, 2.0]])[0, 1] > 240
    right = looking((0.0, 1.0, 0.0), yaw=0.1, pitch=0.0, focal_px=600.0, size_wh=CANVAS_WH)
    assert right.project([[0.0, 1.0, 2.0]])[0, 0] < 320


def test_a_plane_s_homography_agrees_with_projection() -> None:
    camera = looking((0.2, 1.4, 0.0), yaw=0.3, pitch=-0.2, focal_px=500.0, size_wh=CANVAS_WH)
    wall = standing((0.0, 0.0, 3.0), 0.4)
    x, y, w = camera.plane_to_pixels(wall) @ (0.7, 1.1, 1.0)
    np.testing.assert_allclose((x / w, y / w), camera.project(wall.at([[0.7, 1.1, 0.0]]))[0])


def test_frames_turn_tilt_and_roll_as_they_say() -> None:
    frame = standing((0.0, 0.0, 2.0), 0.0)
    np.testing.assert_allclose(frame.turned(np.pi / 2).axes[2], frame.axes[0], atol=1e-12)
    np.testing.assert_allclose(frame.tilted(np.pi / 2).axes[1], -frame.axes[2], atol=1e-12)
    np.testing.assert_allclose(frame.rolled(np.pi / 2).axes[0], frame.axes[1], atol=1e-12)


def test_a_polygon_is_clipped_to_what_lies_ahead() -> None:
    square = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 0.0, 3.0], [0.0, 0.0, 3.0]])
    clipped = clip_to_front(square)
    assert len(clipped) == 4
    assert clipped[:, 2].min() == 0.25
    assert len(clip_to_front(square - (0, 0, 10))) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 0), "has 1 to"), ((5, -1), "whole number from 0 on"), ((5, 0, 1.5), "between 0 and 1")],
)
def test_senseless_orders_are_refused(arguments: tuple[int, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        indoor.generate(tmp_path, *arguments)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        indoor.generate(tmp_path / "file", 2, seed=0)


def test_an_image_that_cannot_be_written_ends_it(tmp_path: Path) -> None:
    (tmp_path / "000001.jpg").mkdir()
    with pytest.raises(StorageError, match=r"cannot be drawn into .*directory"):
        indoor.generate(tmp_path, 3, seed=0)


def test_the_drawing_process_says_a_line_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw.main([str(tmp_path), "3", "5", "12", "6"]) == 0
    assert [line[:12] for line in capsys.readouterr().out.splitlines()] == ['{"index": 5,', '{"index": 11']
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000005.jpg", "000011.jpg"]


def test_a_set_of_any_size_is_drawn_and_registered(tmp_path: Path) -> None:
    registry = DatasetRegistry(Settings(tmp_path, ""))
    report = registry.draw("more", 5, seed=8)
    assert (report.name, report.table.images, report.source) == ("more", 5, "drawn from seed 8")
    assert registry.get("more").image_path(4).is_file()
    with pytest.raises(DataError, match="There is a dataset 'more' already"):
        registry.draw("more", 5, seed=8)
    with pytest.raises(DataError, match="built-in"):
        registry.draw("indoor", 5, seed=8)
