"""What a check says: a verdict, what was found, and how to mend it. Nothing here looks at the machine."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

HIDDEN = "***"
UNREADABLE_URL = (ArgumentError, ValueError)
"""What SQLAlchemy raises for a database URL that is none; ValueError where its port is no number."""
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*):[^\s]*@")
_SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET", re.IGNORECASE)
_SHORTEST_SECRET = 4


class Verdict(StrEnum):
    """How bad it is; only a problem keeps NoiseDash from working as promised."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One answer of a check: one sentence what was found, one how to mend it ('' where there is nothing to mend)."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Finding:
    """Nothing to mend."""
    return Finding(name, Verdict.OK, found)


def warning(name: str, found: str, remedy: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(name, Verdict.WARNING, found, remedy)


def problem(name: str, found: str, remedy: str) -> Finding:
    """Something that is promised does not work."""
    return Finding(name, Verdict.PROBLEM, found, remedy)


def closing_line(findings: Iterable[Finding]) -> str:
    """The findings in one line.

    >>> closing_line([problem("a", "It is full.", "Empty it."), problem("b", "", ""), warning("c", "", "")])
    '2 problems, 1 warning'
    >>> closing_line([ok("a", "All is well.")])
    'Nothing is wrong'
    """
    verdicts = [finding.verdict for finding in findings]
    counts = [(verdicts.count(verdict), verdict) for verdict in (Verdict.PROBLEM, Verdict.WARNING)]
    told = [f"{number} {verdict}{'s' if number > 1 else ''}" for number, verdict in counts if number]
    return ", ".join(told) or "Nothing is wrong"


def secrets_of(environment: Mapping[str, str], database_url: str) -> tuple[str, ...]:
    """What must never be printed: the database's password as it is and as a URL has it, and what the variables hide.

    >>> secrets_of({"RAY_AUTH_TOKEN": "abcdef", "RAY_AUTH_TOKEN_PATH": "/x"}, "postgresql+psycopg://me:pa%40ss@host/db")
    ('pa@ss', 'pa%40ss', 'abcdef')
    """
    secrets = []
    try:
        password = make_url(database_url).password
    except UNREADABLE_URL:
        password = None
    if password:
        secrets += [str(password), quote(str(password), safe="")]
    secrets += [
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and not name.endswith(("PATH", "FILE"))
    ]
    return tuple(dict.fromkeys(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET))


def without_secrets(finding: Finding, secrets: Iterable[str]) -> Finding:
    """The finding with every secret, and the password of every URL in it, struck out.

    >>> without_secrets(ok("database", "postgresql://me:swordfish@host is up."), ()).found
    'postgresql://me:***@host is up.'
    """
    return replace(finding, found=_struck(finding.found, secrets), remedy=_struck(finding.remedy, secrets))


def _struck(text: str, secrets: Iterable[str]) -> str:
    text = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text
