"""A new run that differs from an old one in a few settings, as a study of its own."""

from collections.abc import Mapping

from noisedash.errors import SpecError
from noisedash.jobs.submitting import NAME_LENGTH
from noisedash.records import JobRecord
from noisedash.studies.overrides import apply_overrides
from noisedash.studies.study import Study


def clone_of(job: JobRecord, changes: Mapping[str, str], name: str | None = None) -> Study:
    """The study of the job's run with `changes` (settings by name, as texts); by default it is named after them.

    Raises SpecError where a setting is unknown or unfit, and where nothing is changed.
    """
    spec = apply_overrides(job.spec, changes)
    if spec.id == job.run_id:
        raise SpecError(f"The clone of job {job.id} would be the same run: change a setting, such as steps=300.")
    changed = " ".join(f"{key}={value}" for key, value in changes.items())
    title = f"Job {job.id} with {changed}"
    return Study(name or f"job {job.id}, {changed}"[:NAME_LENGTH].strip(), title, "", job.dataset_name, (spec,))
