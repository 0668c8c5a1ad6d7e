"""The settings that move a result beside loss, noise and network, as widgets: their names, and what they may be."""

from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from noisedash.spec import RunSpec
from noisedash.ui.plan import numbers, setting


@dataclass(frozen=True)
class WholeSetting:
    """A whole number; None, for 'all', where the field is left empty."""

    name: str
    label: str
    low: int
    high: int
    step: int
    help: str = ""

    def widget(self, place: DeltaGenerator, value: Any, key: str) -> Any:
        """The number that is chosen."""
        return place.number_input(
            self.label,
            self.low,
            self.high,
            value,
            self.step,
            key=key,
            help=self.help or None,
            placeholder="all",
            persist_state="session",
        )


@dataclass(frozen=True)
class RealSetting:
    """A number."""

    name: str
    label: str
    low: float
    high: float
    step: float
    help: str = ""

    def widget(self, place: DeltaGenerator, value: Any, key: str) -> Any:
        """The number that is chosen."""
        return place.number_input(
            self.label,
            self.low,
            self.high,
            float(value),
            self.step,
            format="%g",
            key=key,
            help=self.help or None,
            persist_state="session",
        )


@dataclass(frozen=True)
class SwitchSetting:
    """Yes or no."""

    name: str
    label: str
    help: str = ""

    def widget(self, place: DeltaGenerator, value: Any, key: str) -> Any:
        """Whether it is on."""
        return place.toggle(self.label, value, key=key, help=self.help or None, persist_state="session")


@dataclass(frozen=True)
class ChoiceSetting:
    """One of a few values."""

    name: str
    label: str
    options: tuple[Any, ...]
    help: str = ""

    def widget(self, place: DeltaGenerator, value: Any, key: str) -> Any:
        """The value that is chosen."""
        options = self.options if value in self.options else (*self.options, value)
        return place.selectbox(
            self.label, options, options.index(value), key=key, help=self.help or None, persist_state="session"
        )


Setting = WholeSetting | RealSetting | SwitchSetting | ChoiceSetting


@dataclass(frozen=True)
class Group:
    """Settings that belong together."""

    title: str
    settings: tuple[Setting, ...] = field(default=())


GROUPS = (
    Group(
        "Loss",
        (
            RealSetting(
                "detector.class_prior",
                "Starting score",
                0.001,
                0.999,
                0.01,
                "The score of every class before training; .5 is a bias of zero. It decides much at high γ.",
            ),
            RealSetting(
                "loss.classification_weight",
                "Class weight",
                0.0,
                1000.0,
                1.0,
                "Weight of the classification loss, which at γ 8 is tiny beside the box loss.",
            ),
            RealSetting("loss.alpha", "α of the focal loss", 0.0, 1.0, 0.05, "Weighs positives; 1 − α negatives."),
        ),
    ),
    Group(
        "Data",
        (
            WholeSetting(
                "data.split.max_train_images",
                "Training images",
                1,
                10_000_000,
                1,
                "At most so many. Few images are memorised, labels and noise alike; there the losses part.",
            ),
            WholeSetting("data.split.max_test_images", "Test images", 1, 10_000_000, 1),
            SwitchSetting("training.augmentation.horizontal_flip", "Flip"),
            SwitchSetting(
                "training.augmentation.random_crop",
                "SSD crop",
                "The random crop of SSD; it keeps a network from memorising noise.",
            ),
        ),
    ),
    Group(
        "Optimiser",
        (
            RealSetting("optimizer.learning_rate", "Learning rate", 1e-7, 10.0, 1e-3),
            WholeSetting("optimizer.warmup_steps", "Warm-up steps", 0, 1_000_000, 10),
            ChoiceSetting("optimizer.schedule", "Schedule", ("constant", "cosine")),
        ),
    ),
    Group(
        "Evaluation",
        (
            RealSetting("evaluation.nms_iou", "NMS IoU", 0.05, 1.0, 0.05),
            RealSetting("evaluation.match_iou", "IoU of a match", 0.05, 1.0, 0.05),
            WholeSetting("evaluation.every", "Evaluate every", 0, 1_000_000, 50, "So many steps; 0: only at the end."),
        ),
    ),
)


_FROZEN_BATCH_NORM = SwitchSetting(
    "detector.frozen_batch_norm",
    "Freeze BN",
    "Keeps the backbone's batch norm as it starts: for pretrained weights and small batches, never from scratch.",
)
NETWORK_SETTINGS: dict[str, tuple[Setting, ...]] = {
    "ssd_mobilenet_v1": (
        WholeSetting("detector.input_side", "Input side, px", 96, 512, 4),
        ChoiceSetting("detector.first_stride", "First stride", (16, 8), "8 keeps a finer map, for tiny inputs."),
    ),
    "ssd300_vgg16": (),
    "ssdlite320_mobilenet_v3_large": (
        WholeSetting("detector.input_side", "Input side, px", 96, 512, 4),
        _FROZEN_BATCH_NORM,
    ),
    "retinanet_resnet50_fpn": (
        WholeSetting("detector.input_side", "Input side, px", 96, 1024, 4, "Its anchors are of 32 px and more."),
        _FROZEN_BATCH_NORM,
    ),
}
"""Of each network what is its own, beside its depth and its starting score."""


def settings_form(base: RunSpec, key: str) -> dict[str, Any]:
    """The widgets, starting from the run's own values; the values by dotted name."""
    values: dict[str, Any] = {}
    network = Group("Network", NETWORK_SETTINGS[base.detector.kind])
    for group in (*([network] if network.settings else []), *GROUPS):
        st.markdown(f"**{group.title}**")
        columns = st.columns([1, 1, 1, 1.25], vertical_alignment="bottom")
        for column, wanted in zip(columns, group.settings, strict=False):
            own_key = f"{key}-{wanted.name.replace('detector', base.detector.kind)}"
            values[wanted.name] = wanted.widget(column, setting(base, wanted.name), own_key)
    thresholds = columns[3].multiselect(
        "Score thresholds",
        sorted({"0.01", "0.3", *map(_text, base.evaluation.score_thresholds)}),
        [_text(threshold) for threshold in base.evaluation.score_thresholds],
        accept_new_options=True,
        key=f"{key}-thresholds",
        help="Each run is evaluated at all of them: .3 is the authors', .01 shows the whole curve.",
        persist_state="session",
    )
    values["evaluation.score_thresholds"] = list(numbers(thresholds, "Score thresholds"))
    return values


def _text(number: float) -> str:
    return f"{number:g}"
