"""A study before it is submitted: a name and a list of runs."""

from dataclasses import dataclass

from noisedash.spec import RunSpec


@dataclass(frozen=True)
class Study:
    """What a recipe or a grid gives and the store takes. Runs are in the order in which they shall start."""

    name: str
    title: str
    note: str
    """What a reader must know of it: printed beside every figure."""
    dataset_name: str
    specs: tuple[RunSpec, ...]
