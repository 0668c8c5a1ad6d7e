"""Python and the packages: what is installed against what is required."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning

INSTALL = "Install what is named with pip, in this environment (`make run` does it in a clone)."
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
"""They all bring the one module cv2 and overwrite each other's files."""

VersionOf = Callable[[str], str | None]


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requirements_of(name: str) -> list[Requirement]:
    """What an installed distribution says it requires here, extras included; empty where it says nothing."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    return list(_readable(lines))


def python_version(version: tuple[int, int, int], requires: str) -> Finding:
    """Python against the distribution's Requires-Python.

    >>> python_version((3, 10, 2), ">=3.11").verdict
    <Verdict.PROBLEM: 'problem'>
    """
    told = ".".join(map(str, version))
    if SpecifierSet(requires).contains(told, prereleases=True):
        return ok("python", f"Python {told}.")
    return problem(
        "python",
        f"This is Python {told}; NoiseDash needs {requires}.",
        "Make the environment with a newer Python: `make run PYTHON=python3.12`.",
    )


def packages(
    ours: Sequence[Requirement], version_of: VersionOf, theirs: Mapping[str, Sequence[Requirement]]
) -> list[Finding]:
    """Installed versions against our requirements, those packages' own (`theirs`), and packages that do not get on.

    Packages of extras (Ray, PostgreSQL, tests) count only where they are installed.
    """
    wrong = [*_unmet("NoiseDash", ours, version_of)]
    for name, requirements in theirs.items():
        wrong += _unmet(name, [own for own in requirements if not _of_extra(own)], version_of)
    findings = [problem("packages", f"{sentence}.", INSTALL) for sentence in dict.fromkeys(wrong)]
    findings += _opencv(version_of)
    if not findings:
        needed = sum(not _of_extra(requirement) for requirement in ours)
        findings.append(ok("packages", f"All {needed} required packages are there in versions that fit."))
    return findings


def _unmet(whose: str, requirements: Iterable[Requirement], version_of: VersionOf) -> Iterable[str]:
    for requirement in requirements:
        if requirement.marker is not None and not _of_extra(requirement) and not requirement.marker.evaluate():
            continue
        version = version_of(requirement.name)
        if version is None:
            stands_in = requirement.name in OPENCV and any(version_of(other) for other in OPENCV)
            if not _of_extra(requirement) and not stands_in:
                yield f"{whose} requires {requirement.name}{requirement.specifier}, which is not installed"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{whose} requires {requirement.name}{requirement.specifier}, but {version} is installed"


def _of_extra(requirement: Requirement) -> bool:
    return requirement.marker is not None and "extra" in str(requirement.marker)


def _opencv(version_of: VersionOf) -> list[Finding]:
    there = [name for name in OPENCV if version_of(name)]
    if len(there) < 2:
        return []
    return [
        warning(
            "packages",
            f"{' and '.join(there)} are installed side by side and overwrite each other's files.",
            f"Run `pip uninstall {' '.join(there)}`, then `pip install {OPENCV[0]}`.",
        )
    ]


def _readable(lines: Iterable[str]) -> Iterable[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:  # another package's slip, which pip takes, too
            continue
