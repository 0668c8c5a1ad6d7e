"""Ray where it is installed: its cluster must never be open to everyone who reaches it."""

import stat
from collections.abc import Mapping
from pathlib import Path

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning

NAME = "Ray"
MODE = "RAY_AUTH_MODE"
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"


def token_file(environment: Mapping[str, str], home: Path) -> Path:
    """Where the token is kept."""
    return Path(environment.get(TOKEN_FILE) or home / "ray-token")


def ray(version: str | None, environment: Mapping[str, str], token: Path) -> list[Finding]:
    """The way that Ray lets programs in; `version` is None where it is not installed."""
    if version is None:
        return [ok(NAME, "It is not installed, and not needed on one machine.")]
    findings = []
    mode = environment.get(MODE, "")
    if mode not in ("", "token"):
        findings.append(
            problem(NAME, f"{MODE} is {mode!r}, which lets in everyone who reaches the cluster.", f"Set {MODE}=token.")
        )
    elif not mode and environment.get("RAY_ADDRESS"):
        findings.append(
            warning(
                NAME,
                f"RAY_ADDRESS is set, but {MODE} is not: programs are let in without a token.",
                f"Set {MODE}=token.",
            )
        )
    if token.is_file():
        others = stat.S_IMODE(token.stat().st_mode) & 0o077
        if others:
            findings.append(
                problem(NAME, f"Other users may read or write Ray's token in {token}.", f"Run `chmod 600 {token}`.")
            )
    elif mode == "token" and not environment.get("RAY_AUTH_TOKEN"):
        findings.append(
            warning(
                NAME,
                f"{MODE} is token, but there is none in {token} yet.",
                "Copy the file from the machine of the cluster's head.",
            )
        )
    return findings or [ok(NAME, f"Ray {version}; its token, where there is one, is this user's alone.")]
