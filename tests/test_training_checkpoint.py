import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from noisedash import files
from noisedash.errors import StorageError
from noisedash.spec import AdamW, Optimizer, RmsPropTf, Sgd
from noisedash.training.checkpoint import Checkpoint, CheckpointFolder
from noisedash.training.optimizers import build_optimizer

RUN = "0123456789abcdef"
OPTIMIZERS = [RmsPropTf(), Sgd(), AdamW()]


HALF = ".step-00000090.0123456789abcdef.safetensors.aside-0123abcd"


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1))
    return model.to(memory_format=torch.channels_last)


def train_a_little(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()


def checkpoint_at(step: int, spec: Optimizer = OPTIMIZERS[0], run_id: str = RUN) -> Checkpoint:
    model = small_model(step)
    optimizer = build_optimizer(model, spec)
    train_a_little(model, optimizer, range(2))
    return Checkpoint.of(step, run_id, model, optimizer)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("spec", OPTIMIZERS, ids=lambda spec: spec.kind)
def test_a_restored_model_goes_on_bit_by_bit(tmp_path: Path, spec: Optimizer) -> None:
    model = small_model()
    optimizer = build_optimizer(model, spec)
    train_a_little(model, optimizer, range(3))
    CheckpointFolder(tmp_path).save(Checkpoint.of(3, RUN, model, optimizer))
    train_a_little(model, optimizer, range(3, 6))

    resumed = small_model(seed=9)
    fresh_optimizer = build_optimizer(resumed, spec)
    found = CheckpointFolder(tmp_path).latest(RUN)
    assert found is not None
    assert found.step == 3
    found.restore(resumed, fresh_optimizer)
    train_a_little(resumed, fresh_optimizer, range(3, 6))
    for (name, value), other in zip(model.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


@pytest.mark.parametrize("spec", OPTIMIZERS, ids=lambda spec: spec.kind)
def test_restored_optimiser_state_is_laid_out_like_its_parameter(tmp_path: Path, spec: Optimizer) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint_at(1, spec))
    found = folder.latest(RUN)
    assert found is not None
    model = small_model()
    optimizer = build_optimizer(model, spec)
    found.restore(model, optimizer)
    kernel = model[0].weight
    strides = {value.stride() for value in optimizer.state[kernel].values() if value.shape == kernel.shape}
    assert strides == {kernel.stride()}


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "absent", earlier=[tmp_path / "gone"]).latest(RUN) is None


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (100, 20, 100_000_000, 3000):
        folder.save(checkpoint_at(step))
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == ["step-00003000", "step-100000000"]
    found = folder.latest(RUN)
    assert found is not None
    assert found.step == 100_000_000


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, flip_one_bit, empty, make_unreadable])
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint_at(10))
    damage(folder.save(checkpoint_at(20)))
    found = folder.latest(RUN)
    assert found is not None
    assert found.step == 10
    assert "step-00000020" in caplog.text


def test_one_of_another_run_is_passed_over(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint_at(10))
    folder.save(checkpoint_at(20, run_id="f" * 16))
    found = folder.latest(RUN)
    assert found is not None
    assert found.step == 10


def test_earlier_attempts_are_looked_into(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path / "1").save(checkpoint_at(30))
    newest = CheckpointFolder(tmp_path / "2").save(checkpoint_at(40))
    third = CheckpointFolder(tmp_path / "3", earlier=[tmp_path / "2", tmp_path / "1"])
    assert third.latest(RUN).step == 40
    third.save(checkpoint_at(35))
    assert third.latest(RUN).step == 40
    truncate(newest)
    assert third.latest(RUN).step == 35


def test_clear_removes_the_checkpoints_of_all_attempts(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path / "1").save(checkpoint_at(30))
    second = CheckpointFolder(tmp_path / "2", earlier=[tmp_path / "1"])
    second.save(checkpoint_at(40))
    (tmp_path / "1" / HALF).touch()
    (tmp_path / "1" / "log.txt").touch()
    second.clear()
    assert [path.name for path in tmp_path.rglob("*.*")] == ["log.txt"]


def test_what_a_killed_one_left_half_written_is_neither_read_nor_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    torn = tmp_path / HALF
    torn.write_bytes(b"half")
    assert folder.latest(RUN) is None
    folder.save(checkpoint_at(10))
    assert not torn.exists()


def test_a_file_too_large_for_the_disk_is_one_sentence_and_costs_nothing(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint_at(10))
    with files_limited_to(1000), pytest.raises(StorageError, match=r"^The checkpoint of step 20 is not written; .*\.$"):
        folder.save(checkpoint_at(20))
    assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["step-00000010"]
    assert folder.latest(RUN).step == 10


def test_a_disk_that_is_full_when_the_file_is_brought_to_it_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint_at(10))

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(files.os, "fsync", full)
        with pytest.raises(StorageError, match="is full: free some of it"):
            folder.save(checkpoint_at(20))
    assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["step-00000010"]


def test_a_place_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"The checkpoint of step 1 .*file.* cannot be written"):
        CheckpointFolder(tmp_path / "file").save(checkpoint_at(1))
