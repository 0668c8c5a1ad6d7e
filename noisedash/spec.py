"""What decides a run's outcome, as frozen models. One RunSpec travels everywhere; its hash is the run's id."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from noisedash.errors import SpecError
from noisedash.frozen import AddedLater as AddedLater
from noisedash.frozen import Frozen as Frozen
from noisedash.frozen import canonical_json as canonical_json
from noisedash.frozen import parse as parse
from noisedash.noise_spec import MissingNoise as MissingNoise
from noisedash.noise_spec import NoiseRecipe as NoiseRecipe


class SplitSpec(Frozen):
    """Which images train and which test.

    `given`: the dataset's own splits of these names. `random`: all images, `train_fraction` of them for training,
    drawn by `seed`, exact duplicates kept on one side (names are then ignored). The limits take that many images
    of a split, chosen by `seed`, nested in the limit; None takes all.
    """

    kind: Literal["given", "random"] = "given"
    train: str = "train"
    test: str = "test"
    train_fraction: float = Field(default=0.8, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    max_train_images: int | None = Field(default=None, ge=1)
    max_test_images: int | None = Field(default=None, ge=1)


class DataSpec(Frozen):
    """A dataset by its content hash (64 hexadecimal digits), and its split."""

    content_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    split: SplitSpec = SplitSpec()


DEPTH_MULTIPLIERS = (1.0, 0.75, 0.5, 0.25)


def _check_depth_multiplier(value: float) -> float:
    if value not in DEPTH_MULTIPLIERS:
        raise PydanticCustomError("depth_multiplier", "input should be 1, 0.75, 0.5 or 0.25")
    return value


DepthMultiplier = Annotated[float, AfterValidator(_check_depth_multiplier)]


class SsdMobileNetV1(Frozen):
    """SSD on MobileNetV1 as in the paper; the defaults are the paper's network.

    `first_stride` is the stride of the first feature map (8 leaves one down-sampling out, for tiny inputs),
    `repeated_blocks` how many of the five equal blocks before it are kept. `class_prior` is the score that the
    class head starts at: .5 is a bias of zero. `batch_norm_decay` is the share of the old moving average kept
    at each step.
    """

    kind: Literal["ssd_mobilenet_v1"] = "ssd_mobilenet_v1"
    input_side: int = Field(default=300, ge=96, le=512)
    depth_multiplier: DepthMultiplier = 1.0
    first_stride: Literal[8, 16] = 16
    repeated_blocks: int = Field(default=5, ge=1, le=5)
    class_prior: float = Field(default=0.5, gt=0, lt=1)
    batch_norm_decay: float = Field(default=0.9997, ge=0, lt=1)


class Ssd300Vgg16(Frozen):
    """torchvision's ssd300_vgg16 (Liu et al. 2016), with a sigmoid for each class; no batch norm, 300 px only."""

    kind: Literal["ssd300_vgg16"] = "ssd300_vgg16"
    input_side: Literal[300] = 300
    class_prior: float = Field(default=0.01, gt=0, lt=1)


class SsdLiteMobileNetV3(Frozen):
    """torchvision's ssdlite320_mobilenet_v3_large (Howard et al. 2019), with a sigmoid for each class."""

    kind: Literal["ssdlite320_mobilenet_v3_large"] = "ssdlite320_mobilenet_v3_large"
    input_side: int = Field(default=320, ge=96, le=512)
    class_prior: float = Field(default=0.01, gt=0, lt=1)
    frozen_batch_norm: bool = False


class RetinaNetResNet50(Frozen):
    """torchvision's retinanet_resnet50_fpn (Lin et al. 2017); anchors of 32 px and more, whatever the input's side.

    `frozen_batch_norm` keeps the backbone's batch norm at the statistics it starts with, as is usual for pretrained
    weights and small batches; from scratch it would leave the backbone without any normalisation.
    """

    kind: Literal["retinanet_resnet50_fpn"] = "retinanet_resnet50_fpn"
    input_side: int = Field(default=512, ge=96, le=1024)
    class_prior: float = Field(default=0.01, gt=0, lt=1)
    frozen_batch_norm: bool = False


TorchvisionDetector = Ssd300Vgg16 | SsdLiteMobileNetV3 | RetinaNetResNet50


def _kind_of_detector(values: object) -> object:
    """The kind that a detector's values name; specs were written without it while there was one."""
    if isinstance(values, Mapping):
        return values.get("kind", "ssd_mobilenet_v1")
    return getattr(values, "kind", None)


DetectorSpec = Annotated[
    Annotated[SsdMobileNetV1, Tag("ssd_mobilenet_v1")]
    | Annotated[Ssd300Vgg16, Tag("ssd300_vgg16")]
    | Annotated[SsdLiteMobileNetV3, Tag("ssdlite320_mobilenet_v3_large")]
    | Annotated[RetinaNetResNet50, Tag("retinanet_resnet50_fpn")],
    Discriminator(
        _kind_of_detector,
        custom_error_type="detector_kind",
        custom_error_message="kind should be ssd_mobilenet_v1, ssd300_vgg16, ssdlite320_mobilenet_v3_large or "
        "retinanet_resnet50_fpn",
    ),
]


class FromScratch(Frozen):
    """Weights drawn from the run's seed."""

    kind: Literal["scratch"] = "scratch"


class FromWeights(Frozen):
    """Weights file by the SHA-256 of its bytes. Tensors whose shapes fit are taken.

    The class head is taken only if the classes are the same, and where `reset_class_head` is false.
    """

    kind: Literal["weights"] = "weights"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    reset_class_head: bool = False


InitialWeights = Annotated[FromScratch | FromWeights, Field(discriminator="kind")]


class _LossWeights(Frozen):
    classification_weight: float = Field(default=1.0, ge=0)
    localization_weight: float = Field(default=1.0, ge=0)


class CrossEntropy(_LossWeights):
    """Sigmoid cross-entropy with hard-example mining per image (Liu et al. 2016; settings of the paper).

    `mining_nms_iou` suppresses near-identical decoded boxes among the hard examples; None leaves that out.
    """

    kind: Literal["ce"] = "ce"
    negatives_per_positive: float = Field(default=3.0, ge=0)
    max_hard_examples: int = Field(default=3000, ge=1)
    mining_nms_iou: float | None = Field(default=0.99, gt=0, le=1)


class Focal(_LossWeights):
    """Sigmoid focal loss over all anchors, no mining (Lin et al. 2017); alpha weighs positives, 1 - alpha negatives."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0)
    alpha: float = Field(default=0.75, ge=0, le=1)


Loss = Annotated[CrossEntropy | Focal, Field(discriminator="kind")]


class _Optimizer(Frozen):
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float | None = Field(default=None, gt=0)


class RmsPropTf(_Optimizer):
    """TensorFlow's RMSProp (epsilon inside the root, mean square started at one). Defaults: the paper's."""

    kind: Literal["rmsprop_tf"] = "rmsprop_tf"
    learning_rate: float = Field(default=0.004, gt=0)
    weight_decay: float = Field(default=4e-5, ge=0)
    decay: float = Field(default=0.9, ge=0, lt=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    epsilon: float = Field(default=1.0, gt=0)


class Sgd(_Optimizer):
    """Stochastic gradient descent with momentum (torch.optim.SGD)."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)


class AdamW(_Optimizer):
    """torch.optim.AdamW."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0)


Optimizer = Annotated[RmsPropTf | Sgd | AdamW, Field(discriminator="kind")]


class Augmentation(Frozen):
    """Random horizontal flip, and SSD's random crop (Liu et al. 2016)."""

    horizontal_flip: bool = True
    random_crop: bool = True


class TrainingSpec(Frozen):
    """How long, in what batches, from which seed (data order, augmentation and initial weights)."""

    steps: int = Field(default=50_000, ge=1)
    batch_size: int = Field(default=24, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    augmentation: Augmentation = Augmentation()


class EvaluationSpec(Frozen):
    """Post-processing and metric. The lowest score threshold is the one that predictions are kept at.

    `every` evaluates also each so many steps (0: only at the end).
    """

    score_thresholds: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(default=(0.01, 0.3), min_length=1)
    nms_iou: float = Field(default=0.6, gt=0, le=1)
    max_detections: int = Field(default=100, ge=1)
    match_iou: float = Field(default=0.5, gt=0, le=1)
    every: int = Field(default=0, ge=0)


class RunSpec(Frozen):
    """Everything that decides a run's outcome. Device, priority and slots do not, and are no part of it."""

    version: Literal[1] = 1
    data: DataSpec
    noise: NoiseRecipe = NoiseRecipe()
    detector: DetectorSpec = SsdMobileNetV1()
    initial: InitialWeights = FromScratch()
    loss: Loss
    optimizer: Optimizer = RmsPropTf()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical_json(self).encode()).hexdigest()[:16]


def parse_run_spec(values: Mapping[str, Any], where: str) -> RunSpec:
    """The RunSpec of a mapping. Raises SpecError with every problem of it in one message that names `where`."""
    return parse(RunSpec, values, where)


def check_batch_size(spec: RunSpec) -> None:
    """Raises SpecError for single images with SSDLite: its last map has one value per channel, which has no variance.

    Our own SSD-MobileNetV1 then uses its moving averages; torchvision's batch norms refuse.
    """
    detector = spec.detector
    if isinstance(detector, SsdLiteMobileNetV3) and not detector.frozen_batch_norm and spec.training.batch_size < 2:
        raise SpecError(f"{detector.kind} cannot be trained on batches of one image: set batch_size to 2 or more.")


def detector_label(detector: DetectorSpec) -> str:
    """A short name for people, equal for all networks whose weights fit each other.

    >>> detector_label(SsdMobileNetV1(depth_multiplier=0.75)), detector_label(Ssd300Vgg16())
    ('ssd_mobilenet_v1 x 0.75', 'ssd300_vgg16')
    """
    if isinstance(detector, SsdMobileNetV1):
        return f"{detector.kind} x {detector.depth_multiplier:g}"
    return detector.kind


def loss_label(loss: CrossEntropy | Focal) -> str:
    """A short name for people: 'CE', 'FL γ=2'."""
    return "CE" if isinstance(loss, CrossEntropy) else f"FL γ={loss.gamma:g}"
