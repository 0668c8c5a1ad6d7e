"""What the paper published: the numbers behind its Figures 3 to 5, to be laid over one's own."""

from noisedash.published.discrepancies import DISCREPANCIES, Discrepancy
from noisedash.published.paper import (
    DATASETS,
    METRIC,
    NOTES,
    SOURCE,
    GammaCurve,
    NoiseCurve,
    PublishedDataset,
    curves_over_gamma,
    curves_over_noise,
    dataset,
)

__all__ = [
    "DATASETS",
    "DISCREPANCIES",
    "METRIC",
    "NOTES",
    "SOURCE",
    "Discrepancy",
    "GammaCurve",
    "NoiseCurve",
    "PublishedDataset",
    "curves_over_gamma",
    "curves_over_noise",
    "dataset",
]
