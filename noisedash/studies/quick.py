"""The quick study of the built-in dataset and the run that pretrains its network: settings that fit two cores.

All numbers that were found by measuring stand in this file.
"""

from collections.abc import Sequence

from noisedash.spec import (
    AdamW,
    Augmentation,
    CrossEntropy,
    DataSpec,
    EvaluationSpec,
    Focal,
    FromScratch,
    FromWeights,
    RunSpec,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.studies.grid import focal, grid

DATASET = "indoor"
PRETRAIN_DATASET = "indoor-source"
WEIGHTS = "indoor-micro"
SEEDS = (0, 1, 2)
GAMMAS = (0, 2, 5, 8)
RATES = (0.0, 0.5)
TRAIN_IMAGES = 300
TEST_IMAGES = 400

MICRO = SsdMobileNetV1(
    input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2, class_prior=0.5, batch_norm_decay=0.99
)
"""738 anchors, 339,000 parameters."""

HARD_NEGATIVES = CrossEntropy(mining_nms_iou=None)
"""No suppression among the hard examples: it costs time, and the study was measured without it."""

NOTE = (
    "An illustration, not the paper's experiment: a micro network fine-tuned on 300 images for so long, without "
    "augmentation, that it memorises its labels. There the losses part. The class head's prior, the classification "
    "weight, augmentation and the score threshold all move the result, by as much as the loss does; they are shown "
    "beside it and can be changed."
)


def quick(data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]) -> tuple[RunSpec, ...]:
    """Cross-entropy and gamma 0, 2, 5, 8 on clean labels and with half of them missing; each seed its own noise."""
    split = data.split.model_copy(
        update={
            "max_train_images": data.split.max_train_images or TRAIN_IMAGES,
            "max_test_images": data.split.max_test_images or TEST_IMAGES,
        }
    )
    base = RunSpec(
        data=data.model_copy(update={"split": split}),
        detector=MICRO,
        initial=_without_class_head(initial),
        loss=HARD_NEGATIVES,
        optimizer=AdamW(learning_rate=2e-3, warmup_steps=100, schedule="cosine", clip_norm=10.0),
        training=TrainingSpec(
            steps=500, batch_size=16, augmentation=Augmentation(horizontal_flip=False, random_crop=False)
        ),
        evaluation=EvaluationSpec(every=250),
    )
    return grid(base, (HARD_NEGATIVES, *focal(GAMMAS)), RATES, seeds, noise_seed=None)


def _without_class_head(initial: FromScratch | FromWeights) -> FromScratch | FromWeights:
    """A class head that has seen clean labels would hide what the noise teaches."""
    return initial if isinstance(initial, FromScratch) else initial.model_copy(update={"reset_class_head": True})


def indoor_pretrain(data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]) -> tuple[RunSpec, ...]:
    """The run whose weights `quick` starts from: clean labels, images that no study of `indoor` sees."""
    base = RunSpec(
        data=data,
        detector=MICRO,
        initial=initial,
        loss=Focal(),
        optimizer=AdamW(learning_rate=4e-3, warmup_steps=100, schedule="cosine", clip_norm=10.0),
        training=TrainingSpec(
            steps=2_200, batch_size=32, augmentation=Augmentation(horizontal_flip=False, random_crop=False)
        ),
    )
    return grid(base, (Focal(),), (0.0,), seeds)
