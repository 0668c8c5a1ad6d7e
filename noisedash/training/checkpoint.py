"""Checkpoints of a run: model, optimiser, step and what was probed, in one safetensors file, whole or not at all.

A file is written aside, brought to the disk, and only then gets its name, which carries the start of its SHA-256:
`step-00001000.3f5b0c….safetensors`. A file that was torn or changed later does not fit its name, and the newest one
that does is used. Nothing in it is ever unpickled.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from noisedash.errors import StorageError, WeightsError
from noisedash.files import ASIDE, file_written_aside, write_synced
from noisedash.probe_records import ProbeRecord

log = logging.getLogger(__name__)

KEEP = 2
_NAME = re.compile(r"step-(\d{8,})\.([0-9a-f]{16})\.safetensors")
HALF_WRITTEN = f".step-*{ASIDE}*"
"""Files of a folder of checkpoints that a killed process left."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run after `step` steps."""

    step: int
    run_id: str
    model: Mapping[str, Tensor]
    """The model's state_dict."""
    optimizer: Mapping[int, Mapping[str, Tensor]]
    """The state of each parameter that has one, by its number in the optimiser."""
    probe: Mapping[str, Tensor] = field(default_factory=dict)
    """What was probed up to that step, as `ProbeRecord.to_arrays` gives it; nothing where nothing was."""

    @classmethod
    def of(
        cls,
        step: int,
        run_id: str,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        probe: ProbeRecord | None = None,
    ) -> "Checkpoint":
        """What model and optimiser hold after `step` steps; it shares their memory."""
        states = optimizer.state_dict()["state"]
        tensors = {
            index: {name: value for name, value in state.items() if value is not None}
            for index, state in states.items()
        }
        seen = {} if probe is None else {name: torch.from_numpy(values) for name, values in probe.to_arrays().items()}
        return cls(step, run_id, model.state_dict(), tensors, seen)

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put the state into a model and a new optimiser of the same spec.

        The optimiser's tensors get the memory layout of their parameters, as they would have had: sums over them
        then run in the same order, so that training goes on bit by bit as if it had not stopped. Raises WeightsError
        where the checkpoint is of another network.
        """
        try:
            model.load_state_dict(self.model)
        except RuntimeError:
            raise WeightsError(
                f"The checkpoint of step {self.step} of run {self.run_id} does not fit the network, which another "
                "version may have built; remove the run's checkpoints and retry it, and it starts anew."
            ) from None
        params = [param for group in optimizer.param_groups for param in group["params"]]
        states = {
            index: {name: _laid_out_like(params[index], value) for name, value in state.items()}
            for index, state in self.optimizer.items()
        }
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})

    @property
    def probed(self) -> ProbeRecord | None:
        """What was probed up to that step, None where nothing was."""
        return (
            ProbeRecord.of_arrays({name: value.numpy() for name, value in self.probe.items()}) if self.probe else None
        )


class CheckpointFolder:
    """The checkpoints that one attempt at a run writes to `path`; it reads those of `earlier` attempts too.

    One process writes to `path` at a time. The newest `KEEP` are kept.
    """

    def __init__(self, path: Path, earlier: Sequence[Path] = ()) -> None:
        self.path = path
        self._folders = (path, *earlier)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and remove those that are too old.

        Raises StorageError where it cannot be written; then all earlier ones are still there, and no part of this one.
        """
        content = _to_bytes(checkpoint)
        path = self.path / f"step-{checkpoint.step:08}.{_checksum(content)}.safetensors"
        try:
            with file_written_aside(path) as aside:
                write_synced(aside, content)
        except StorageError as error:
            raise StorageError(
                f"The checkpoint of step {checkpoint.step} is not written; the run, when it is retried, goes on from "
                f"the one before. {error}"
            ) from error
        self._remove_old()
        return path

    def latest(self, run_id: str) -> Checkpoint | None:
        """The newest valid checkpoint of that run in all folders, None where there is none.

        One that is torn, changed or of another run is logged and passed over.
        """
        for path in _newest_first(self._folders):
            checkpoint = _read(path)
            if checkpoint is not None and checkpoint.run_id == run_id:
                return checkpoint
            log.warning("Checkpoint %s is damaged or of another run; using an older one if there is any.", path)
        return None

    def clear(self) -> None:
        """Remove the checkpoints of all attempts, and what a killed one left half-written."""
        for folder in self._folders:
            for path in [*_newest_first([folder]), *folder.glob(HALF_WRITTEN)]:
                path.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        for path in [*_newest_first([self.path])[KEEP:], *self.path.glob(HALF_WRITTEN)]:
            path.unlink(missing_ok=True)


def _newest_first(folders: Sequence[Path]) -> list[Path]:
    """Checkpoint files of the folders, the highest step first; of equal steps, that of the earlier-named folder."""
    found = [path for folder in folders for path in folder.glob("step-*.safetensors") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-").split(".")[0])


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _to_bytes(checkpoint: Checkpoint) -> bytes:
    tensors = {f"model.{name}": value for name, value in checkpoint.model.items()}
    for index, state in checkpoint.optimizer.items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors |= {f"probe.{name}": value for name, value in checkpoint.probe.items()}
    about = json.dumps({"format": 1, "step": checkpoint.step, "run_id": checkpoint.run_id})
    packed = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors_torch.save(packed, metadata={"noisedash.checkpoint": about})


def _read(path: Path) -> Checkpoint | None:
    """The checkpoint in a file, None where the file is not what it was when it got its name."""
    try:
        content = path.read_bytes()
    except OSError as error:
        log.warning("Checkpoint %s cannot be read: %s", path, error)
        return None
    if _checksum(content) != path.name.split(".")[1]:
        return None
    try:
        tensors = safetensors_torch.load(content)
    except SafetensorError:
        return None
    about = json.loads(_metadata(content)["noisedash.checkpoint"])
    model, probe = _below("model.", tensors), _below("probe.", tensors)
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, field = name.split(".", 2)
            optimizer.setdefault(int(index), {})[field] = value
    return Checkpoint(about["step"], about["run_id"], model, optimizer, probe)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _metadata(content: bytes) -> dict[str, str]:
    """The text fields of a safetensors file: its first 8 bytes are the length of the JSON header that follows."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    fields: dict[str, str] = header["__metadata__"]
    return fields


def _laid_out_like(param: Tensor, value: Tensor) -> Tensor:
    if value.shape != param.shape:
        return value
    return torch.empty_like(param, dtype=value.dtype).copy_(value)
