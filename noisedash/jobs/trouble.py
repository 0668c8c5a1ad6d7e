"""What went wrong with a database, in one sentence for people: what, where, what to do. Never a password."""

from sqlalchemy import URL

_LOCKED = "is locked by another program; end the program that holds it, then try again"
_DISK_FULL = "cannot grow because the disk is full; free some space, and work goes on"
_UNREACHABLE = "does not answer; check that its server runs and that host and port are right, and work goes on"
_CUT = "has cut the connection (its server restarts, or the network failed); work goes on when it is back"
_REFUSED = "refuses this user; check user and password in NOISEDASH_DB"
_ABSENT = "does not exist on its server; make it (`createdb NAME`) or name another in NOISEDASH_DB"
_NO_CONNECTION_LEFT = "has no connection left; end some of its users or raise max_connections on its server"
_READ_ONLY = "takes no writes (a standby, or set to read-only); name the primary server in NOISEDASH_DB"
_STARTING = "is starting or stopping; work goes on when it is back"

_SQLITE_ADVICE = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_PROTOCOL": _LOCKED,
    "SQLITE_READONLY": "cannot be written; give this user the right to write it, its -wal and -shm, and the folder",
    "SQLITE_FULL": _DISK_FULL,
    "SQLITE_CANTOPEN": "cannot be opened; check that its folder exists and that this user may write there",
    "SQLITE_NOTADB": "is not a SQLite database; move the file away or name another in NOISEDASH_DB",
    "SQLITE_CORRUPT": "is damaged; move it away (a new one is made) or restore a copy",
    "SQLITE_IOERR": "cannot be read or written by the disk; check the disk",
}
_POSTGRES_ADVICE = {
    "08": _CUT,
    "25006": _READ_ONLY,
    "25P03": "has ended a transaction that stood still for too long; try again",
    "28": _REFUSED,
    "3D000": _ABSENT,
    "40": "had two writers that waited for each other; try again",
    "42501": "does not give this user the rights on its tables; make the user their owner",
    "53100": _DISK_FULL,
    "53200": "has no memory left on its server; end other programs there, and work goes on",
    "53300": _NO_CONNECTION_LEFT,
    "55P03": _LOCKED,
    "57P03": _STARTING,
    "57": _CUT,
    "58": "cannot be read or written by its server's disk; check that disk",
    "XX001": "is damaged; restore a copy",
}
"""By SQLSTATE, or by its class. https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_REFUSALS = {
    "password": _REFUSED,
    'role "': _REFUSED,
    "authentication failed": _REFUSED,
    "no pg_hba.conf entry": _REFUSED,
    "does not exist": _ABSENT,
    "too many clients": _NO_CONNECTION_LEFT,
    "too many connections": _NO_CONNECTION_LEFT,
    "remaining connection slots": _NO_CONNECTION_LEFT,
    "starting up": _STARTING,
    "shutting down": _STARTING,
    "recovery mode": _STARTING,
    "not yet accepting": _STARTING,
    "closed the connection": _CUT,
    "connection is lost": _CUT,
    "connection is closed": _CUT,
    "consuming input failed": _CUT,
    "sending": _CUT,
}
"""What the driver says where it has no SQLSTATE: on connecting, and when the connection is gone."""
CONNECTION_IS_SPOILT = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_NOTADB", "SQLITE_CORRUPT")
"""After these a SQLite connection stays as it is, also when the cause is gone: another one must be opened."""


def in_plain_words(error: Exception, where: str) -> str:
    """The sentence for an error of SQLAlchemy's or of its driver's."""
    original = getattr(error, "orig", None) or error
    advice = _advice(original)
    if advice is not None:
        return f"The database {where} {advice}."
    said = str(original).strip().splitlines()
    return f"The database {where} cannot be used: {said[0].rstrip('.') if said else type(original).__name__}."


def where_is(url: URL) -> str:
    """The database's address without its password; options are left out, as they can hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def sqlite_error_name(error: BaseException | None) -> str:
    """SQLite's name of an error, such as SQLITE_BUSY_SNAPSHOT; '' for any other error."""
    return getattr(error, "sqlite_errorname", None) or ""


def _advice(original: BaseException) -> str | None:
    name = sqlite_error_name(original)
    for code, advice in _SQLITE_ADVICE.items():
        if name.startswith(code):
            return advice
    if type(original).__module__.partition(".")[0] != "psycopg":
        return None
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return _POSTGRES_ADVICE.get(state) or _POSTGRES_ADVICE.get(state[:2])
    if type(original).__name__ not in ("OperationalError", "ConnectionTimeout"):
        return None
    said = str(original)
    return next((advice for words, advice in _REFUSALS.items() if words in said), _UNREACHABLE)
