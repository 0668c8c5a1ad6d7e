"""What of a run's spec only its dataset and the weights at hand can tell: checked before a run is queued."""

from collections.abc import Sequence

from noisedash.noise.recipe import check_recipe
from noisedash.spec import FromWeights, RunSpec, check_batch_size
from noisedash.weights import WeightsRegistry, check_network


def check_runs(specs: Sequence[RunSpec], classes: tuple[str, ...], weights: WeightsRegistry) -> None:
    """Tell now what would fail each run on a dataset of these classes as soon as it starts.

    Raises DataError where the noise names a class that is not there, NotFoundError where initial weights are not at
    hand, WeightsError where they are of another network than the detector's, SpecError where a network cannot be
    trained on batches of one image.
    """
    for spec in specs:
        check_batch_size(spec)
    pairs = {(spec.initial.sha256, spec.detector) for spec in specs if isinstance(spec.initial, FromWeights)}
    for recipe in {spec.noise for spec in specs}:
        check_recipe(recipe, classes)
    for sha256, detector in sorted(pairs, key=str):
        record = weights.find(sha256)
        check_network(record.name, record.detector, detector)
