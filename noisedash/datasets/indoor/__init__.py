"""The built-in dataset: indoor scenes drawn from a seed, in the spirit of the paper's Indoor set.

Seven classes on walls, floors and desks, in perspective, among things that look like them. Each image is a pure
function of (seed, index): `placing` furnishes a room, `scene` draws it, `finish` turns the drawing into a photograph,
and `generation` writes the files.
"""

from noisedash.datasets.indoor.generation import CLASSES, generate

__all__ = ["CLASSES", "generate"]
