"""What the doctor finds in the home: half-written files, folders, images, weights and tokens."""

import time
from pathlib import Path

import pytest
from dataset_files import make_voc, voc_object
from doctor_tools import OK, PROBLEM, WARNING, findings_of_tables, only, stored
from jobs_tools import study

from noisedash.datasets.imagecache import Square, open_images
from noisedash.datasets.registry import DatasetRegistry
from noisedash.jobs.doctor import (
    data,
    leftovers,
    ray,
)
from noisedash.jobs.doctor.examination import to_line
from noisedash.jobs.doctor.findings import Verdict
from noisedash.settings import current_settings
from noisedash.weights import WeightsRegistry


def test_half_written_files_are_found_told_and_removed(own_home: Path) -> None:
    settings = current_settings()
    checkpoints = settings.runs / "0123456789abcdef" / "attempt-1" / "checkpoints"
    aside = settings.images / ".aside-square96-x-01234567"
    for folder in (checkpoints, aside, settings.weights):
        folder.mkdir(parents=True)
    left = [checkpoints / ".step-5.safetensors.aside-1234abcd", aside / "data.bin", settings.weights / ".adding-x"]
    kept = [checkpoints / "step-5.safetensors", settings.weights / "a.safetensors"]
    for path in (*left, *kept):
        path.write_bytes(bytes(1000))
    now = time.time()
    assert leftovers.half_written(settings, now) == []
    found = leftovers.half_written(settings, now + 2 * leftovers.OLD_S)
    assert set(found) == {left[0], aside, left[2]}
    told = leftovers.leftovers(found, leftovers.size_of(found))
    assert (told.verdict, "3 half-written files" in told.found, "--fix" in told.remedy) == (WARNING, True, True)
    assert set(leftovers.remove(found)) == set(found)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)
    assert leftovers.leftovers([], 0).verdict is OK


def test_run_folders_that_the_store_does_not_know(own_home: Path) -> None:
    store = stored(current_settings())
    store.submit_study(study(1))
    known = store.studies()[0].run_ids[0]
    for name in (known, "0123456789abcdef", "notes"):
        (current_settings().runs / name).mkdir(parents=True)
    found = findings_of_tables(current_settings())["run folders"]
    assert (found.verdict, "1 run folder" in found.found, "0123456789abcdef" in found.found) == (WARNING, True, True)
    store.close()


# Datasets and weights


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    objects = [voc_object("cell", (5, 5, 20, 20))]
    folder = make_voc(tmp_path / "cells", {f"p{number}": objects for number in range(4)})
    DatasetRegistry(current_settings()).add(folder, "cells")
    return folder


def test_images_that_are_gone_or_changed(cells: Path) -> None:
    registry = DatasetRegistry(current_settings())
    assert only(data.datasets(registry)).verdict is OK
    image = sorted((cells / "JPEGImages").iterdir())[-1]
    image.write_bytes(image.read_bytes() + b"x")
    found = only(data.datasets(registry))
    assert (found.verdict, "have changed" in found.found) == (PROBLEM, True)
    image.unlink()
    assert "1 of 4 images of dataset cells are gone" in only(data.datasets(registry)).found
    cells.rename(cells.with_name("moved"))
    assert only(data.datasets(registry)).verdict is PROBLEM


def test_decoded_images_of_datasets_that_were_removed(cells: Path) -> None:
    settings = current_settings()
    registry = DatasetRegistry(settings)
    open_images(registry.get("cells"), settings.images, Square(16))
    assert data.unused_images(settings.images, registry) == []
    registry.remove("cells")
    unused = data.unused_images(settings.images, registry)
    assert leftovers.decoded_images(unused, leftovers.size_of(unused)).verdict is WARNING
    assert leftovers.size_of(unused) >= 4 * 16 * 16 * 3


def test_weights_that_are_torn(own_home: Path) -> None:
    settings = current_settings()
    registry = WeightsRegistry(settings)
    assert only(data.weights(registry)).verdict is OK
    settings.weights.mkdir(parents=True)
    (settings.weights / "torn.safetensors").write_bytes(registry.list()[0].path.read_bytes()[:-100])
    found = only(data.weights(registry))
    assert (found.verdict, "torn.safetensors" in found.found) == (PROBLEM, True)


# Ray


@pytest.mark.parametrize(
    ("environment", "mode", "verdict"),
    [
        ({}, None, OK),
        ({"RAY_AUTH_MODE": "token"}, 0o600, OK),
        ({"RAY_AUTH_MODE": "token"}, 0o644, PROBLEM),
        ({"RAY_AUTH_MODE": "token"}, None, WARNING),
        ({"RAY_AUTH_MODE": "disabled"}, None, PROBLEM),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, None, WARNING),
    ],
)
def test_the_token_of_ray(tmp_path: Path, environment, mode: int | None, verdict: Verdict) -> None:
    token = ray.token_file({}, tmp_path)
    if mode is not None:
        token.write_text("a-secret-token")
        token.chmod(mode)
    found = only(ray.ray("2.60.0", environment, token))
    assert found.verdict is verdict
    assert "a-secret-token" not in to_line(found)
    assert only(ray.ray(None, environment, token)).verdict is OK
