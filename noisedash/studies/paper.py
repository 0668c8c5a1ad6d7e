"""The paper's two experiments, with the settings of the authors' training configuration.

SSD 300 on MobileNetV1 x 1, RMSProp at .004, batch 24, 50,000 steps, flip and SSD crop: the defaults of RunSpec. One
draw of the noise serves all runs, as in the paper; the runs that both experiments share are the same runs.
"""

from collections.abc import Sequence

from noisedash.spec import CrossEntropy, DataSpec, Focal, FromScratch, FromWeights, RunSpec
from noisedash.studies.grid import focal, grid

LOSS_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
GAMMAS = (0, 1, 2, 3, 4, 5, 6, 7, 8)
GAMMA_RATES = (0.0, 0.1, 0.5)


def paper_losses(data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]) -> tuple[RunSpec, ...]:
    """Section 4.1: cross-entropy and the focal loss (gamma 2) at 0 to 50 % missing labels; 12 runs a seed."""
    base = RunSpec(data=data, initial=initial, loss=CrossEntropy())
    return grid(base, (CrossEntropy(), Focal()), LOSS_RATES, seeds)


def paper_gammas(data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]) -> tuple[RunSpec, ...]:
    """Section 4.2: the focal loss at gamma 0 to 8 and 0, 10 and 50 % missing labels; 27 runs a seed."""
    base = RunSpec(data=data, initial=initial, loss=CrossEntropy())
    return grid(base, focal(GAMMAS), GAMMA_RATES, seeds)
