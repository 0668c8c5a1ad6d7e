"""The store and the registries of this installation, as commands need them."""

from noisedash.datasets.registry import DatasetRegistry
from noisedash.jobs.store import Store
from noisedash.settings import current_settings
from noisedash.weights import WeightsRegistry


def open_store() -> Store:
    """The queue's database."""
    return Store(current_settings().database_url)


def open_datasets() -> DatasetRegistry:
    """The registered datasets."""
    return DatasetRegistry(current_settings())


def open_weights() -> WeightsRegistry:
    """The weights at hand."""
    return WeightsRegistry(current_settings())
