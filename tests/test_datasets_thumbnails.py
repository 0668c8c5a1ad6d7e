from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_files import jpeg, make_voc, rotated_by_exif, voc_object

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.decode import decode
from noisedash.datasets.thumbnails import thumbnail
from noisedash.datasets.validate import validate
from noisedash.datasets.voc import read_voc
from noisedash.errors import DataError


def one_image(folder: Path, data: bytes) -> Dataset:
    make_voc(folder, {"a": [voc_object("cat", (1, 1, 9, 9))]})
    (folder / "JPEGImages" / "a.jpg").write_bytes(data)
    return validate(read_voc(folder), "tiny", folder)[0]


@pytest.mark.parametrize(
    ("width", "shape"), [(300, (200, 300)), (75, (50, 75)), (10, (7, 10)), (0, (1, 1)), (5000, (400, 600))]
)
def test_the_width_is_kept_and_never_enlarged(tmp_path: Path, width: int, shape: tuple[int, int]) -> None:
    dataset = one_image(tmp_path, jpeg((600, 400)))
    pixels = decode(thumbnail(dataset, 0, width))
    assert pixels is not None
    assert pixels.shape == (*shape, 3)


def test_details_stay(tmp_path: Path) -> None:
    grey = cv2.resize(np.random.default_rng(0).integers(0, 256, (50, 75), dtype=np.uint8), (600, 400))
    data = cv2.imencode(".jpg", grey)[1].tobytes()
    dataset, full = one_image(tmp_path, data), decode(data)
    for width in (600, 290, 149):
        expected = cv2.resize(full, (width, round(width / 1.5)), interpolation=cv2.INTER_AREA)
        difference = decode(thumbnail(dataset, 0, width)).astype(float) - expected
        assert np.abs(difference).mean() < 6


def test_colours_stay(tmp_path: Path) -> None:
    red = np.zeros((400, 600, 3), dtype=np.uint8)
    red[..., 2] = 200
    dataset = one_image(tmp_path, cv2.imencode(".jpg", red)[1].tobytes())
    for width in (600, 300, 20):
        pixels = decode(thumbnail(dataset, 0, width))
        assert pixels is not None
        assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - [200, 0, 0]).max() < 5


def test_raw_pixels_whatever_exif_says(tmp_path: Path) -> None:
    data = rotated_by_exif(jpeg((600, 400)))
    turned = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape[:2] == (600, 400), "the entry must say what it is meant to say"
    dataset = one_image(tmp_path, data)
    assert (dataset.images.width[0], dataset.images.height[0]) == (600, 400)
    for width in (600, 100):
        small = thumbnail(dataset, 0, width)
        assert b"Exif" not in small
        assert decode(small).shape[:2] == (round(width / 1.5), width)


def test_an_image_that_went_away_or_broke_is_told(tmp_path: Path) -> None:
    dataset = one_image(tmp_path, jpeg())
    dataset.image_path(0).write_bytes(jpeg()[:50])
    with pytest.raises(DataError, match="is damaged or breaks off"):
        thumbnail(dataset, 0, 30)
    dataset.image_path(0).unlink()
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\), though it is part of a reg"):
        thumbnail(dataset, 0, 30)
