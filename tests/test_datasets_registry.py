import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_files import coco_box, dataset_in_memory, make_coco, make_voc, voc_object, write_jpeg

from noisedash.datasets import indoor, registry
from noisedash.datasets.checks import Severity
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.errors import DataError, NotFoundError
from noisedash.settings import Settings, current_settings

CAT = voc_object("cat", (1, 1, 60, 40))


@pytest.fixture
def settings(own_home: Path) -> Settings:
    return current_settings()


@pytest.fixture
def datasets(settings: Settings) -> DatasetRegistry:
    return DatasetRegistry(settings)


def same(first: Dataset, second: Dataset) -> bool:
    columns = ("box_id", "image_index", "class_id", "xyxy", "crowd", "difficult", "truncated")
    return (
        (first.name, first.root, first.classes) == (second.name, second.root, second.classes)
        and (first.images.file, first.images.split) == (second.images.file, second.images.split)
        and first.images.sha256 == second.images.sha256
        and np.array_equal(first.images.width, second.images.width)
        and np.array_equal(first.images.height, second.images.height)
        and all(np.array_equal(getattr(first.boxes, name), getattr(second.boxes, name)) for name in columns)
    )


def test_what_was_added_comes_back_in_a_new_process(
    tmp_path: Path, settings: Settings, datasets: DatasetRegistry
) -> None:
    make_voc(tmp_path / "set", {"ä b": [CAT], "c": [voc_object("日本", (1, 1, 2, 2))]}, {"train": ["ä b"], "test": "c"})
    seen: list[tuple[int, int]] = []
    report = datasets.add(tmp_path / "set", "mine", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert (report.name, report.format, report.source) == ("mine", "voc", str(tmp_path / "set"))
    assert report.problem_count == {}
    fresh = DatasetRegistry(settings)
    dataset = fresh.get("mine")
    assert dataset.images.file == ("JPEGImages/c.jpg", "JPEGImages/ä b.jpg")
    assert dataset.image_path(1).is_file()
    stored = dataset.content_hash
    del dataset.__dict__["content_hash"]
    assert dataset.content_hash == stored == report.content_hash
    assert fresh.report("mine") == report
    assert same(fresh.by_hash(report.content_hash), dataset)
    assert fresh.names() == ("indoor", "mine")
    assert fresh.present() == ("mine",)


def test_problems_are_kept_the_worst_first(tmp_path: Path, datasets: DatasetRegistry, settings: Settings) -> None:
    boxes = [coco_box(number, 1, [50, 0, 20, 9]) for number in range(1, 8)] + [coco_box(9, 2, [0, 0, 9, 9])]
    make_coco(tmp_path / "set", boxes, images=3)
    (tmp_path / "set" / "train2017" / "3.jpg").unlink()
    report = datasets.add(tmp_path / "set", "mine", skip_bad=True)
    assert [problem.severity for problem in report.problems][:2] == [Severity.ERROR, Severity.WARNING]
    assert report.problem_count == {Severity.ERROR: 1, Severity.WARNING: 13}
    assert DatasetRegistry(settings).report("mine") == report


def test_only_the_first_problems_are_kept_but_all_are_counted(
    tmp_path: Path, datasets: DatasetRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "KEPT_PROBLEMS", 3)
    boxes = [coco_box(number, 1, [50, number, 20, 9]) for number in range(1, 8)]
    report = datasets.add(make_coco(tmp_path / "set", boxes), "mine")
    assert len(report.problems) == 3
    assert report.problem_count == {Severity.WARNING: 7}


@pytest.mark.parametrize("name", ["", "Upper", "a b", "../x", "-x", ".x", "x" * 65, "ä", "a/b", "x\n"])
def test_names_are_checked(tmp_path: Path, datasets: DatasetRegistry, name: str) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    with pytest.raises(DataError, match="cannot name a dataset: use lower-case letters"):
        datasets.add(tmp_path / "set", name)
    with pytest.raises(NotFoundError, match="There is no dataset"):
        datasets.get(name)
    with pytest.raises(NotFoundError, match="There is no dataset"):
        datasets.remove(name)


def test_a_name_is_given_once(tmp_path: Path, datasets: DatasetRegistry) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    datasets.add(tmp_path / "set", "mine")
    with pytest.raises(DataError, match="There is a dataset 'mine' already: choose another name, or remove that one"):
        datasets.add(tmp_path / "set", "mine")
    with pytest.raises(DataError, match="'indoor' is the name of a built-in dataset"):
        datasets.add(tmp_path / "set", "indoor")


def test_a_removed_dataset_is_gone_and_its_images_stay(
    tmp_path: Path, datasets: DatasetRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    report = datasets.add(tmp_path / "set", "mine")
    datasets.remove("mine")
    assert datasets.present() == ()
    assert (tmp_path / "set" / "JPEGImages" / "a.jpg").is_file()
    with pytest.raises(NotFoundError, match=r"There is no dataset 'mine'; there are indoor\."):
        datasets.report("mine")
    monkeypatch.setattr(registry, "BUILTIN", {})
    with pytest.raises(NotFoundError, match=f"No registered dataset has the content {report.content_hash[:12]}…"):
        datasets.by_hash(report.content_hash)
    datasets.add(tmp_path / "set", "mine")
    assert datasets.present() == ("mine",)


def test_a_set_that_was_registered_before_there_were_outlines_is_read(
    tmp_path: Path, datasets: DatasetRegistry, settings: Settings
) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    known = datasets.add(tmp_path / "set", "mine").content_hash
    path = settings.datasets / "mine" / "columns.npz"
    with np.load(path) as columns:
        older = {name: columns[name] for name in columns if name != "outline_area"}
    np.savez(path, **older)
    mine = datasets.get("mine")
    assert np.isnan(mine.boxes.outline_area).all()
    assert replace(mine).content_hash == known


@pytest.mark.parametrize(("file", "keep"), [("meta.json", 40), ("columns.npz", 900), ("columns.npz", 0)])
def test_damaged_files_are_told_and_do_not_hide_other_datasets(
    tmp_path: Path, datasets: DatasetRegistry, settings: Settings, file: str, keep: int
) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    make_voc(tmp_path / "other", {"b": [CAT]})
    datasets.add(tmp_path / "set", "a-damaged")
    good = datasets.add(tmp_path / "other", "good")
    path = settings.datasets / "a-damaged" / file
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"The registered dataset 'a-damaged' is damaged .* remove it and add it again"):
        datasets.get("a-damaged")
    assert datasets.by_hash(good.content_hash).name == "good"
    datasets.remove("a-damaged")
    assert datasets.present() == ("good",)


def test_a_source_that_went_away_is_told(tmp_path: Path, datasets: DatasetRegistry) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    datasets.add(tmp_path / "set", "mine")
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(DataError, match=r"The images of dataset 'mine' are gone .*put the folder back"):
        datasets.get("mine")
    assert datasets.report("mine").table.images == 1


def test_nothing_is_written_where_adding_fails(tmp_path: Path, datasets: DatasetRegistry, settings: Settings) -> None:
    make_voc(tmp_path / "set", {"a": [CAT], "b": [CAT]})
    (tmp_path / "set" / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg is missing"):
        datasets.add(tmp_path / "set", "mine")
    assert not settings.datasets.exists()


def test_what_a_killed_process_left_is_cleared(tmp_path: Path, datasets: DatasetRegistry, settings: Settings) -> None:
    left = settings.datasets / ".aside-mine-0123abcd"
    left.mkdir(parents=True)
    datasets.add(make_voc(tmp_path / "set", {"a": [CAT]}), "mine")
    assert not left.exists()


def test_a_dataset_made_in_memory_can_be_registered_once(tmp_path: Path, datasets: DatasetRegistry) -> None:
    made = dataset_in_memory(["a.jpg"])
    dataset = Dataset(made.name, tmp_path, made.classes, made.images, made.boxes)
    report = datasets.register(dataset, "made", tmp_path)
    assert same(datasets.get("memory"), dataset)
    assert report.content_hash == made.content_hash
    with pytest.raises(DataError, match="There is a dataset 'memory' already"):
        datasets.register(dataset, "made", tmp_path)


class Draughtsman:
    """Stands in for the built-in dataset's generator, and counts its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, folder: Path, images: int, seed: int, progress: object = None) -> Dataset:
        self.calls.append((images, seed))
        write_jpeg(folder / "0.jpg")
        made = dataset_in_memory(["0.jpg"], ["train"])
        return Dataset("indoor", folder, made.classes, made.images, made.boxes)


@pytest.fixture
def draughtsman(monkeypatch: pytest.MonkeyPatch) -> Draughtsman:
    drawing = Draughtsman()
    monkeypatch.setattr(indoor, "generate", drawing)
    return drawing


def test_the_builtin_dataset_is_drawn_once_on_first_use(
    draughtsman: Draughtsman, datasets: DatasetRegistry, settings: Settings
) -> None:
    assert datasets.names() == ("indoor",)
    assert draughtsman.calls == []
    barrier = threading.Barrier(3)

    def use() -> None:
        barrier.wait(5)
        DatasetRegistry(settings).get("indoor")

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dataset = datasets.get("indoor")
    assert draughtsman.calls == [(2213, 0)]
    assert dataset.root == settings.datasets / "indoor" / "images"
    assert dataset.image_path(0).is_file()
    assert datasets.report("indoor").format == "built-in"


def test_the_builtin_dataset_moves_with_the_home_and_is_drawn_again_once_removed(
    draughtsman: Draughtsman, datasets: DatasetRegistry, settings: Settings, tmp_path: Path
) -> None:
    content_hash = datasets.report("indoor").content_hash
    moved = Settings(settings.home.rename(tmp_path / "moved"), "")
    assert DatasetRegistry(moved).get("indoor").image_path(0).is_file()
    DatasetRegistry(moved).remove("indoor")
    assert len(draughtsman.calls) == 1
    assert DatasetRegistry(moved).by_hash(content_hash).name == "indoor"
    assert len(draughtsman.calls) == 2


def test_a_drawing_that_fails_leaves_nothing(
    datasets: DatasetRegistry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, images: int, seed: int, progress: object = None) -> Dataset:
        write_jpeg(folder / "0.jpg")
        raise KeyboardInterrupt

    monkeypatch.setattr(indoor, "generate", fail)
    with pytest.raises(KeyboardInterrupt):
        datasets.get("indoor")
    assert [path.name for path in settings.datasets.iterdir()] == [".indoor.lock"]
