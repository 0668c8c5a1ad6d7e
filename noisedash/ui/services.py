"""What the pages ask: the store, the datasets and the weights of this installation, opened once a process."""

from functools import lru_cache

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.jobs.store import Store
from noisedash.settings import Settings, current_settings
from noisedash.weights import WeightsRegistry


def store() -> Store:
    """The store of the environment's settings. Raises StoreError where it cannot be opened."""
    return _store(current_settings().database_url)


def datasets() -> DatasetRegistry:
    """The datasets of the environment's settings."""
    return DatasetRegistry(current_settings())


def dataset(name: str) -> Dataset:
    """The dataset of that name, kept in memory. Raises NotFoundError, DataError."""
    return _dataset(current_settings(), name, datasets().report(name).content_hash)


def weights() -> WeightsRegistry:
    """The weights of the environment's settings."""
    return WeightsRegistry(current_settings())


@lru_cache(maxsize=4)
def _store(url: str) -> Store:
    return Store(url)


@lru_cache(maxsize=8)
def _dataset(settings: Settings, name: str, content_hash: str) -> Dataset:  # noqa: ARG001 - part of the key
    return DatasetRegistry(settings).get(name)
