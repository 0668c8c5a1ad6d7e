"""Where things are kept: NOISEDASH_HOME (default ./cache), NOISEDASH_DB (SQLite in the home), NOISEDASH_STORAGE."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Places of one installation."""

    home: Path
    database_url: str
    storage: str | None = None
    """Where run files are kept besides the home, for machines that do not share one: a folder or an fsspec URL."""

    @property
    def datasets(self) -> Path:
        """Registered datasets, a folder each."""
        return self.home / "datasets"

    @property
    def images(self) -> Path:
        """Decoded images, memory-mapped."""
        return self.home / "images"

    @property
    def weights(self) -> Path:
        """Weights that were imported or kept, a safetensors file each."""
        return self.home / "weights"

    @property
    def runs(self) -> Path:
        """A folder for each run."""
        return self.home / "runs"


def current_settings() -> Settings:
    """The settings of this process's environment."""
    home = Path(os.environ.get("NOISEDASH_HOME") or "cache").resolve()
    return Settings(
        home,
        os.environ.get("NOISEDASH_DB") or f"sqlite:///{home / 'noisedash.db'}",
        os.environ.get("NOISEDASH_STORAGE") or None,
    )
