import errno
import multiprocessing
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from dataset_files import jpeg, make_voc, rotated_by_exif, voc_object, write_jpeg

from noisedash.datasets import imagecache
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.imagecache import LongestSide, Size, Square, open_images
from noisedash.datasets.validate import validate
from noisedash.datasets.voc import read_voc
from noisedash.errors import DataError, StorageError

CAT = voc_object("cat", (1, 1, 9, 9))


def pictures(folder: Path, sizes_wh: Sequence[tuple[int, int]] = ((60, 40), (30, 50), (80, 80))) -> Dataset:
    make_voc(folder, {f"{number}": [CAT] for number in range(len(sizes_wh))})
    for number, size_wh in enumerate(sizes_wh):
        write_jpeg(folder / "JPEGImages" / f"{number}.jpg", size_wh, seed=number)
    return validate(read_voc(folder), "tiny", folder)[0]


@pytest.mark.parametrize("size", [Square(32), LongestSide(48), LongestSide(500)])
def test_images_are_those_of_a_plain_bilinear_resize(tmp_path: Path, size: Size) -> None:
    dataset = pictures(tmp_path / "set")
    images = open_images(dataset, tmp_path / "cache", size)
    assert len(images) == 3
    for row, pixels in enumerate(images):
        bgr = cv2.imread(str(dataset.image_path(row)), cv2.IMREAD_COLOR)
        height, width = pixels.shape[:2]
        assert np.array_equal(pixels, cv2.resize(bgr, (width, height), interpolation=cv2.INTER_LINEAR)[..., ::-1])
    shapes = [pixels.shape for pixels in images]
    expected = {
        "square32": [(32, 32, 3)] * 3,
        "longest48": [(32, 48, 3), (48, 29, 3), (48, 48, 3)],
        "longest500": [(40, 60, 3), (50, 30, 3), (80, 80, 3)],
    }
    assert shapes == expected[size.label]


def test_images_are_read_only_views(tmp_path: Path) -> None:
    images = open_images(pictures(tmp_path / "set"), tmp_path / "cache", Square(8))
    assert isinstance(images[0], np.ndarray)
    assert not isinstance(images[0], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0][0, 0, 0] = 1


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "set", [(60, 40)])
    dataset.image_path(0).write_bytes(rotated_by_exif(jpeg()))
    turned = validate(read_voc(tmp_path / "set"), "tiny", tmp_path)[0]
    assert open_images(turned, tmp_path / "cache", LongestSide(500))[0].shape == (40, 60, 3)


class Calls(list[tuple[int, int]]):
    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))


def test_built_once_and_shared_with_subsets(tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "set")
    built = Calls()
    whole = open_images(dataset, tmp_path / "cache", Square(8), built)
    assert built == [(1, 3), (2, 3), (3, 3)]
    shutil.rmtree(tmp_path / "set")
    again = Calls()
    some = open_images(dataset.subset(np.array([2, 0])), tmp_path / "cache", Square(8), again)
    assert again == []
    assert np.array_equal(some[0], whole[2])
    assert np.array_equal(some[1], whole[0])


def test_equal_pictures_are_kept_once(tmp_path: Path) -> None:
    pictures(tmp_path / "set")
    shutil.copy(tmp_path / "set" / "JPEGImages" / "0.jpg", tmp_path / "set" / "JPEGImages" / "1.jpg")
    dataset = validate(read_voc(tmp_path / "set"), "tiny", tmp_path)[0]
    images = open_images(dataset, tmp_path / "cache", Square(8))
    assert np.array_equal(images[0], images[1])
    assert next((tmp_path / "cache").glob("*/data.bin")).stat().st_size == 2 * 8 * 8 * 3


@pytest.mark.parametrize("harm", ["cut data", "cut index", "no index", "no data", "garbage index"])
def test_a_torn_cache_is_built_anew(tmp_path: Path, harm: str) -> None:
    dataset = pictures(tmp_path / "set")
    whole = [pixels.copy() for pixels in open_images(dataset, tmp_path / "cache", Square(8))]
    what, _, name = harm.partition(" ")
    (file,) = (tmp_path / "cache").glob(f"square8-*/{name}.*")
    if what == "no":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-7] if what == "cut" else b"garbage")
    built = Calls()
    again = open_images(dataset, tmp_path / "cache", Square(8), built)
    assert len(built) == 3
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))


def test_changed_pixels_are_noticed(tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "set")
    open_images(dataset, tmp_path / "cache", Square(8))
    (file,) = (tmp_path / "cache").glob("square8-*/data.bin")
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    images = open_images(dataset, tmp_path / "cache", Square(8))
    assert images[0].shape == (8, 8, 3)
    with pytest.raises(StorageError, match=r"square8-.* are damaged: remove that folder, then start again"):
        images[1]


def nothing_left(cache: Path) -> bool:
    return not [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_an_image_that_went_away_or_changed_is_told(tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "set")
    data = dataset.image_path(1).read_bytes()
    dataset.image_path(1).write_bytes(jpeg(seed=99))
    with pytest.raises(DataError, match=r"1\.jpg has changed since dataset 'tiny' was registered: put the old file"):
        open_images(dataset, tmp_path / "cache", Square(8))
    dataset.image_path(1).unlink()
    with pytest.raises(DataError, match=r"1\.jpg cannot be read .* remove the dataset and add it again"):
        open_images(dataset, tmp_path / "cache", Square(8))
    assert nothing_left(tmp_path / "cache")
    dataset.image_path(1).write_bytes(data)
    assert len(open_images(dataset, tmp_path / "cache", Square(8))) == 3


def test_a_full_disk_is_told_before_and_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    def full(*args: object, **columns: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    dataset = pictures(tmp_path / "set")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: Usage(1000))
        with pytest.raises(StorageError, match=r"need 0 MB in .*cache, but only 0 MB are free: free some"):
            open_images(dataset, tmp_path / "cache", Square(8))
    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(StorageError, match=r"The disk that holds .* is full"):
            open_images(dataset, tmp_path / "cache", Square(8))
    assert nothing_left(tmp_path / "cache")
    assert len(open_images(dataset, tmp_path / "cache", Square(8))) == 3


def test_what_a_killed_builder_left_is_cleared(tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "set")
    open_images(dataset, tmp_path / "cache", Square(8))
    (cache,) = (tmp_path / "cache").glob("square8-*")
    left = cache.rename(cache.parent / f".aside-{cache.name}-0123abcd")
    open_images(dataset, tmp_path / "cache", Square(8))
    assert cache.is_dir()
    assert not left.exists()


def build_in_process(
    folder: Path, start: "multiprocessing.synchronize.Event", told: "multiprocessing.Queue[int]"
) -> None:
    dataset = validate(read_voc(folder / "set"), "tiny", folder)[0]
    calls = Calls()
    start.wait(60)
    images = open_images(dataset, folder / "cache", Square(64), calls)
    assert [pixels.shape for pixels in images] == [(64, 64, 3)] * len(dataset.images)
    told.put(len(calls))


def test_two_processes_build_once(tmp_path: Path) -> None:
    pictures(tmp_path / "set", [(600, 400)] * 12)
    context = multiprocessing.get_context("spawn")
    start, told = context.Event(), context.Queue()
    builders = [context.Process(target=build_in_process, args=(tmp_path, start, told)) for _ in range(2)]
    for builder in builders:
        builder.start()
    start.set()
    for builder in builders:
        builder.join(60)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert sorted(told.get(timeout=5) for _ in builders) == [0, 12]
    assert imagecache.DATA in {path.name for path in (tmp_path / "cache").glob("square64-*/*")}
