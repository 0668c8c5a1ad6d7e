"""Registered datasets and weights: are their files still there, and still the same?"""

import hashlib
from pathlib import Path

import numpy as np

from noisedash.datasets.imagecache import hashes_of_cache
from noisedash.datasets.registry import DatasetRegistry
from noisedash.errors import DataError
from noisedash.jobs.doctor.findings import Finding, ok, problem
from noisedash.weights import WeightsRegistry

SAMPLE = 16
"""So many images of each dataset are read and held against their checksums."""


def datasets(registry: DatasetRegistry) -> list[Finding]:
    """Every registered dataset's columns, whether its images are there, and whether a sample of them is unchanged."""
    findings = [finding for name in registry.present() for finding in _dataset(registry, name)]
    if findings:
        return findings
    return [ok("datasets", f"{len(registry.present())} registered, their images are there and unchanged in samples.")]


def _dataset(registry: DatasetRegistry, name: str) -> list[Finding]:
    try:
        dataset = registry.get(name)
    except DataError as error:
        return [
            problem("datasets", str(error), f"`noisedash data remove {name}`, then add it again, or do as it says.")
        ]
    paths = [dataset.image_path(row) for row in range(len(dataset.images))]
    gone = [path for path in paths if not path.is_file()]
    if gone:
        told = f"{len(gone):,} of {len(paths):,} images of dataset {name} are gone, such as {gone[0]}."
        return [problem("datasets", told, "Put the files back, or remove the dataset and add it again.")]
    rows = np.unique(np.linspace(0, len(paths) - 1, min(SAMPLE, len(paths))).round().astype(int))
    changed = [paths[row] for row in rows if _sha256(paths[row]) != dataset.images.sha256[row]]
    if changed:
        told = f"{len(changed)} of {len(rows)} images looked at in dataset {name} have changed, such as {changed[0]}."
        return [problem("datasets", told, "Put the old files back, or remove the dataset and add it again.")]
    return []


def weights(registry: WeightsRegistry) -> list[Finding]:
    """Weights files that are torn, or none of ours."""
    wrong = [
        problem("weights", sentence, "Remove the file where it is not needed.") for sentence in registry.problems()
    ]
    return wrong or [ok("weights", f"{len(registry.list())} files, all whole.")]


def hashes_at_hand(registry: DatasetRegistry) -> set[str]:
    """The content hashes of the registered datasets that can be read; drawing none."""
    found = set()
    for name in registry.present():
        try:
            found.add(registry.report(name).content_hash)
        except DataError:
            continue  # `datasets` tells of it
    return found


def unused_images(folder: Path, registry: DatasetRegistry) -> list[Path]:
    """Folders of decoded images of which no registered dataset has a single one."""
    used: set[str] = set()
    for name in registry.present():
        try:
            used.update(registry.get(name).images.sha256)
        except DataError:
            return []  # which images it has cannot be told
    caches = {path: hashes_of_cache(path) for path in sorted(folder.glob("*-*")) if path.is_dir()}
    return [path for path, hashes in caches.items() if hashes is not None and used.isdisjoint(hashes)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
