"""Wrong classes: another class, any alike or as a confusion matrix says. K boxes, C classes."""

import numpy as np

from noisedash.datasets.dataset import Dataset, IntArray
from noisedash.noise.keys import box_keys, choice, unit_interval
from noisedash.noise_spec import WrongClassNoise


def mistaken(clean: Dataset, rows: IntArray, step: WrongClassNoise) -> IntArray:
    """The wrong class (K,) of each of the boxes at `rows`, never its own. `clean` has two classes at least."""
    keys = box_keys(clean.boxes.box_id[rows], "wrong_class.class", step.seed)
    own = clean.boxes.class_id[rows]
    others = choice(keys, len(clean.classes) - 1)
    wrong = others + (others >= own)
    drawn = unit_interval(keys)
    for name, weights in step.confusion or ():
        of_class = own == clean.classes.index(name)
        targets = np.array([clean.classes.index(target) for target, weight in weights if weight > 0])
        ends = np.cumsum([weight for _, weight in weights if weight > 0])
        place = np.searchsorted(ends, drawn[of_class] * ends[-1], side="right")
        wrong[of_class] = targets[np.minimum(place, len(targets) - 1)]
    return np.asarray(wrong)
