"""The PostgreSQL server of the queue: version, clock, connections, transactions that nobody ends."""

from sqlalchemy import Connection, text

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning
from noisedash.jobs.doctor.queue import ago

_CLOCKS_APART_S = 5.0
_IDLE_S = 30.0
_OLDEST_POSTGRESQL = 13
_CONNECTIONS_OF_TRAINER, _CONNECTIONS_OF_WORKER, _CONNECTIONS_OF_WEB = 2, 3, 8


def now(connection: Connection) -> float:
    """The server's time, seconds since 1970 UTC."""
    return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8")))


def server(connection: Connection, machine_now: float) -> list[Finding]:
    """The server's version, clock, connections and transactions that nobody ends."""
    asked = connection.execute(
        text(
            "SELECT current_setting('server_version_num')::int / 10000 AS major,"
            " extract(epoch FROM clock_timestamp())::float8 AS now,"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,"
            " (SELECT coalesce(sum(slots), 0) FROM workers) AS slots, (SELECT count(*) FROM workers) AS workers"
        )
    ).one()
    idle = connection.execute(
        text(
            "SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds FROM pg_stat_activity"
            " WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
            " AND xact_start < clock_timestamp() - make_interval(secs => :seconds)"
        ),
        {"seconds": _IDLE_S},
    ).all()
    return [
        server_version(asked.major),
        clocks(machine_now - asked.now),
        connections(asked.most, int(asked.workers), int(asked.slots)),
        idle_transactions({row.pid: row.seconds for row in idle}),
    ]


def server_version(major: int) -> Finding:
    """PostgreSQL's major version."""
    if major < _OLDEST_POSTGRESQL:
        return problem(
            "database", f"The server is PostgreSQL {major}; {_OLDEST_POSTGRESQL} or newer is needed.", "Update it."
        )
    return ok("database", f"PostgreSQL {major} answers.")


def clocks(ahead_s: float) -> Finding:
    """How far this machine's clock is ahead of the database's, whose time alone counts for leases."""
    if abs(ahead_s) > _CLOCKS_APART_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        return warning(
            "clock",
            f"This machine's clock is {abs(ahead_s):.0f} s {way} the database's; the times in logs do not fit.",
            "Switch on time synchronisation (NTP) on both machines.",
        )
    return ok("clock", "It agrees with the database's.")


def connections(most: int, worker_count: int, slots: int) -> Finding:
    """Connections that the server allows against those that the known workers, trainers and a web app may open."""
    needed = slots * _CONNECTIONS_OF_TRAINER + worker_count * _CONNECTIONS_OF_WORKER + _CONNECTIONS_OF_WEB
    if needed > most:
        return warning(
            "connections",
            f"The server allows {most} connections; {worker_count} workers with {slots} slots may want {needed}.",
            f"Set max_connections to {needed * 2} in postgresql.conf and restart the server.",
        )
    return ok("connections", f"The server allows {most}; about {needed} may be wanted.")


def idle_transactions(seconds_of_pid: dict[int, float]) -> Finding:
    """Transactions that were begun and left open; they hold locks and keep the tables from being cleaned."""
    if not seconds_of_pid:
        return ok("database lock", "No transaction was left open.")
    pid, seconds = max(seconds_of_pid.items(), key=lambda item: item[1])
    return warning(
        "database lock",
        f"{len(seconds_of_pid)} transactions were left open, the oldest {ago(seconds)} ago (server process {pid}).",
        f"End the program that left it, or run `SELECT pg_terminate_backend({pid})` in psql.",
    )
