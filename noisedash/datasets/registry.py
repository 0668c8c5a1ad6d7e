"""The datasets of this installation: registered ones, a small folder each, and the built-in ones.

A registered dataset is home/datasets/NAME with columns.npz and meta.json; its images stay where they are. A built-in
one is drawn on first use, into a folder beside those files.
"""

import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from noisedash.datasets.checks import Problem, Report, Severity, count_problems, table1
from noisedash.datasets.columns import load_columns, save_columns
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.decode import Progress
from noisedash.datasets.formats import read
from noisedash.datasets.validate import validate
from noisedash.errors import DataError, NotFoundError
from noisedash.files import ASIDE, exclusive, remove_asides, storage_error, write_synced, written_aside
from noisedash.settings import Settings

BUILTIN = {"indoor": (2213, 0)}
"""Name to number of images and seed; see noisedash.datasets.indoor."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
KEPT_PROBLEMS = 1000
META, COLUMNS, DRAWN = "meta.json", "columns.npz", "images"


@dataclass(frozen=True)
class _Meta:
    """meta.json. `root` is where the images lie; a relative one is below the dataset's own folder."""

    version: int
    root: str
    report: Report


_META = TypeAdapter(_Meta)


class DatasetRegistry:
    """Datasets by name and by content. Safe to use from several processes at once."""

    def __init__(self, settings: Settings):
        self._home = settings.datasets

    def names(self) -> tuple[str, ...]:
        """All names, built-in ones included, in order."""
        return tuple(sorted({*BUILTIN, *self.present()}))

    def present(self) -> tuple[str, ...]:
        """Names of the datasets that are there now: all but the built-in ones not drawn yet."""
        if not self._home.is_dir():
            return ()
        found = (entry.parent.name for entry in self._home.glob(f"*/{META}"))
        return tuple(sorted(name for name in found if NAME.fullmatch(name)))

    def add(
        self,
        path: Path,
        name: str,
        format: str | None = None,
        *,
        images: Path | None = None,
        classes: Sequence[str] | None = None,
        skip_bad: bool = False,
        progress: Progress | None = None,
    ) -> Report:
        """Read, check and register the annotations at `path` under `name`; images are not copied.

        `format` is found out unless given, `images` is their folder where they are not beside the annotations,
        `classes` keeps only these, `skip_bad` leaves out images whose file or annotation cannot be used.
        Raises DataError where it cannot be registered; nothing is written then.
        """
        self._check_free(name)
        raw = read(path, format, images)
        dataset, problems = validate(raw, name, path, classes=classes, skip_bad=skip_bad, progress=progress)
        return self.register(dataset, raw.format, path, problems)

    def register(self, dataset: Dataset, format_name: str, source: Path, problems: Sequence[Problem] = ()) -> Report:
        """Register a dataset that is already checked, under its own name."""
        folder = self._folder(dataset.name)
        report = _report(dataset, format_name, str(source.resolve()), problems)
        with self._locked(dataset.name):
            self._check_free(dataset.name)
            with written_aside(folder) as aside:
                _write(aside, dataset, str(dataset.root.resolve()), report)
        return report

    def draw(self, name: str, images: int, seed: int, progress: Progress | None = None) -> Report:
        """Draw an indoor dataset of any size and seed and register it under `name`; its images lie in its folder.

        Raises DataError for a name that is taken, SpecError for a size or seed that makes no sense.
        """
        with self._locked(name):
            self._check_free(name)
            self._draw_into(name, images, seed, progress)
        return self.report(name)

    def get(self, name: str, progress: Progress | None = None) -> Dataset:
        """The dataset of that name; a built-in one is drawn on first use, telling `progress`.

        Raises NotFoundError, and DataError where its files are damaged or its images' folder is gone.
        """
        meta = self._meta(name, progress)
        folder = self._folder(name)
        root = folder / meta.root
        if not root.is_dir():
            raise DataError(
                f"The images of dataset {name!r} are gone ({root}): put the folder back, or remove the dataset and "
                "add it again."
            )
        return load_columns(folder / COLUMNS, name, root, meta.report.content_hash)

    def report(self, name: str) -> Report:
        """What registration found. Raises NotFoundError, DataError."""
        return self._meta(name).report

    def by_hash(self, content_hash: str) -> Dataset:
        """A dataset of that content. Raises NotFoundError."""
        for name in (*self.present(), *(set(BUILTIN) - set(self.present()))):
            if self._hash(name) == content_hash:
                return self.get(name)
        raise NotFoundError(
            f"No registered dataset has the content {content_hash[:12]}…: add the dataset that the run was made for."
        )

    def remove(self, name: str) -> None:
        """Forget a dataset. Its images stay, but those that were drawn are removed; a built-in one is drawn again."""
        folder = self._folder(name)
        if not folder.is_dir():
            raise self._unknown(name)
        with self._locked(name):
            gone = folder.parent / f"{ASIDE}{name}-{uuid.uuid4().hex[:8]}"
            try:
                folder.rename(gone)
            except OSError as error:
                raise storage_error(error, folder) from error
            shutil.rmtree(gone, ignore_errors=True)

    def _hash(self, name: str) -> str | None:
        """Its content hash, None where its files are damaged: that must not keep others from being found."""
        try:
            return self._meta(name).report.content_hash
        except (DataError, NotFoundError):
            return None

    def _meta(self, name: str, progress: Progress | None = None) -> _Meta:
        path = self._folder(name) / META
        if name in BUILTIN and not path.is_file():
            self._draw(name, progress)
        try:
            return _META.validate_json(path.read_bytes())
        except FileNotFoundError:
            raise self._unknown(name) from None
        except (OSError, ValidationError):
            raise DataError(
                f"The registered dataset {name!r} is damaged ({path}): remove it and add it again."
            ) from None

    def _draw(self, name: str, progress: Progress | None) -> None:
        """Draw a built-in dataset; a second process waits and finds it drawn."""
        images, seed = BUILTIN[name]
        with self._locked(name):
            if not (self._folder(name) / META).is_file():
                self._draw_into(name, images, seed, progress)

    def _draw_into(self, name: str, images: int, seed: int, progress: Progress | None) -> None:
        from noisedash.datasets import indoor

        with written_aside(self._folder(name)) as aside:
            dataset = replace(indoor.generate(aside / DRAWN, images, seed, progress=progress), name=name)
            _write(aside, dataset, DRAWN, _report(dataset, "built-in", f"drawn from seed {seed}", ()))

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Nobody else writes or removes this dataset meanwhile; what a killed process left of it is gone."""
        folder = self._folder(name)
        with exclusive(self._home / f".{name}.lock"):
            remove_asides(folder)
            yield

    def _folder(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise self._unknown(name)
        return self._home / name

    def _check_free(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise DataError(
                f"{name!r} cannot name a dataset: use lower-case letters, digits, '-', '_' and '.', at most 64, "
                "beginning with a letter or digit."
            )
        if name in BUILTIN:
            raise DataError(f"{name!r} is the name of a built-in dataset: choose another name.")
        if (self._home / name).exists():
            raise DataError(f"There is a dataset {name!r} already: choose another name, or remove that one first.")

    def _unknown(self, name: str) -> NotFoundError:
        return NotFoundError(f"There is no dataset {name!r}; there are {', '.join(self.names())}.")


def _report(dataset: Dataset, format_name: str, source: str, problems: Sequence[Problem]) -> Report:
    order = (Severity.ERROR, Severity.NOTE, Severity.WARNING)
    kept = sorted(problems, key=lambda problem: order.index(problem.severity))[:KEPT_PROBLEMS]
    return Report(
        name=dataset.name,
        format=format_name,
        source=source,
        content_hash=dataset.content_hash,
        table=table1(dataset),
        problems=tuple(kept),
        problem_count=count_problems(problems),
    )


def _write(folder: Path, dataset: Dataset, root: str, report: Report) -> None:
    save_columns(dataset, folder / COLUMNS)
    write_synced(folder / META, _META.dump_json(_Meta(1, root, report), indent=1))
