"""The Launch page's choice of a network, and of the weights that fit it."""

import streamlit as st

from noisedash.spec import DEPTH_MULTIPLIERS, DetectorSpec, SsdMobileNetV1, detector_label
from noisedash.ui import plan
from noisedash.ui.layout import plain
from noisedash.ui.plan import Preset
from noisedash.weights import WeightsRegistry

TITLES = {
    "ssd_mobilenet_v1": "SSD, MobileNetV1 (the paper's)",
    "ssd300_vgg16": "SSD300, VGG16",
    "ssdlite320_mobilenet_v3_large": "SSDLite, MobileNetV3 large",
    "retinanet_resnet50_fpn": "RetinaNet, ResNet50 FPN",
}
_ABOUT = (
    "All four train under the same losses, noise, evaluation and probe. The last three are torchvision's, with a "
    "sigmoid for each class; SSD300 takes 300 px only."
)
_ABOUT_WEIGHTS = (
    "Those at hand that fit the network. `noisedash weights import` brings others: SSD MobileNetV1 from a .tflite "
    "file, torchvision's as `torchvision:NETWORK/coco` or `/imagenet`; `noisedash weights keep` takes a run's, "
    "`noisedash weights list` lists them."
)


def choose_network(planned: Preset, weights: WeightsRegistry, key: str) -> tuple[DetectorSpec, str]:
    """The network, but for its further settings, and the name of its initial weights, which are of such a network."""
    kind_column, depth_column, weights_column = st.columns([1.7, 0.9, 1.4])
    kind = kind_column.selectbox(
        "Network",
        list(TITLES),
        list(TITLES).index(planned.base.detector.kind),
        format_func=TITLES.__getitem__,
        key=f"{key}-network",
        help=_ABOUT,
        persist_state="session",
    )
    detector = plan.detector_of(planned, kind)
    if isinstance(detector, SsdMobileNetV1):
        depth = depth_column.selectbox(
            "Depth multiplier",
            DEPTH_MULTIPLIERS,
            DEPTH_MULTIPLIERS.index(detector.depth_multiplier),
            key=f"{key}-depth",
            help="Channels against the paper's network, whose depth is 1.",
            persist_state="session",
        )
        detector = detector.model_copy(update={"depth_multiplier": depth})
    label = detector_label(detector)
    names = plan.weight_choices(weights, detector)
    start = weights_column.selectbox(
        "Initial weights",
        names,
        names.index(planned.weights) if planned.weights in names else 0,
        key=f"{key}-{label}-weights",
        help=_ABOUT_WEIGHTS,
        persist_state="session",
    )
    with st.container():  # always there, so that what follows keeps its place, and stays open where it is
        if names == [plan.SCRATCH]:
            source = "FILE.tflite" if isinstance(detector, SsdMobileNetV1) else f"torchvision:{kind}/coco"
            how = f"`noisedash weights import {source}` brings them."
            st.caption(plain(f"No weights of {label} are at hand:") + f" {how}")
    return detector, start
