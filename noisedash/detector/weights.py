"""Weights files of the detector: written, read, and put into a network that may be another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from noisedash.detector.build import build_detector
from noisedash.detector.network import Detector
from noisedash.errors import WeightsError
from noisedash.files import file_written_aside
from noisedash.spec import FromWeights, InitialWeights
from noisedash.weights import WeightsInfo, WeightsRegistry, check_network, read_info


@dataclass(frozen=True)
class Loaded:
    """What `initialise` did, by the names of tensors."""

    source: str
    """Where the weights come from; '' where they are the seed's."""
    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    """What keeps the values drawn from the seed."""
    class_head_taken: bool
    batch_norm_folded: bool
    """True where the network then needs `calibrate_batch_norm` before it is trained."""

    def __str__(self) -> str:
        """One line for a log."""
        if not self.taken:
            return "All weights are drawn from the seed."
        return (
            f"{len(self.taken)} tensors are taken from {self.source or 'the weights file'}, {len(self.fresh)} are "
            f"drawn from the seed; the class head is {'taken' if self.class_head_taken else 'new'}."
        )


def save_weights(path: Path, model: Detector, classes: Sequence[str], source: str, licence: str) -> None:
    """Write the network's weights as a file that the registry reads; written aside and renamed.

    `classes` are the names of its outputs in order. Raises StorageError where the file cannot be written.
    """
    assert len(classes) == model.classes
    info = WeightsInfo(model.spec, tuple(classes), source, licence, batch_norm_folded=False)
    write_tensors(path, model.state_dict(), info)


def write_tensors(path: Path, tensors: dict[str, Tensor], info: WeightsInfo) -> None:
    """Write named tensors with what they are; equal content gives equal bytes. Raises StorageError."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with file_written_aside(path) as aside, aside.open("wb") as file:
        file.write(save(contiguous, metadata=info.to_metadata()))


def load_weights(path: Path) -> tuple[dict[str, Tensor], WeightsInfo]:
    """The tensors of a weights file and what they are. Raises WeightsError."""
    info = read_info(path)
    try:
        return load_file(path), info
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The weights {path} cannot be read ({error}); import the network again.") from None


def build(path: Path) -> Detector:
    """The very network that a weights file holds, in evaluation mode. Raises WeightsError."""
    tensors, info = load_weights(path)
    model = build_detector(info.detector, len(info.classes))
    wrong = [name for name, value in model.state_dict().items() if _shape(tensors, name) != tuple(value.shape)]
    if wrong:
        raise WeightsError(f"{path} does not hold the network that it names (first difference: {wrong[0]}).")
    model.load_state_dict(tensors)
    return model.eval()


def initialise(model: Detector, initial: InitialWeights, classes: Sequence[str], registry: WeightsRegistry) -> Loaded:
    """Give a fresh network its initial weights; what does not fit keeps the values of the network's seed.

    Tensors are taken by name where their shapes are equal: so the box heads are, whatever the classes. The class head
    is taken only where `classes`, the run's, are those of the weights in order, and not where it shall be reset.
    Raises NotFoundError where the weights are not at hand, WeightsError where their network is too different.
    """
    if not isinstance(initial, FromWeights):
        return Loaded("", (), tuple(model.state_dict()), class_head_taken=False, batch_norm_folded=False)
    record = registry.find(initial.sha256)
    tensors, info = load_weights(record.path)
    check_network(record.name, info.detector, model.spec)
    keep_head = tuple(classes) == info.classes and not initial.reset_class_head
    own = model.state_dict()
    taken = tuple(
        name
        for name, value in own.items()
        if _shape(tensors, name) == tuple(value.shape) and (keep_head or not name.startswith(model.class_head))
    )
    with torch.no_grad():
        for name in taken:
            own[name].copy_(tensors[name])
    fresh = tuple(name for name in own if name not in taken)
    head_taken = any(name.startswith(model.class_head) for name in taken)
    return Loaded(info.source, taken, fresh, head_taken, info.batch_norm_folded)


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None
