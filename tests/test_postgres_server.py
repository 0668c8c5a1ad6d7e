"""The server that tests of the queue bring up: it is a real one, asks for its password, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from jobs_tools import is_alive, wait_until
from postgres_server import PostgresServer, database_name
from psycopg.sql import SQL


def test_it_takes_connections_on_loopback_with_a_password_only(postgres: PostgresServer) -> None:
    assert postgres.execute(SQL("SELECT 1")) == [(1,)]
    assert postgres.execute(SQL("SHOW listen_addresses")) == [("127.0.0.1",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url(password="wrong").replace("+psycopg", ""))


def test_databases_are_copied(postgres: PostgresServer) -> None:
    first = postgres.new_database()
    postgres.execute(SQL("CREATE TABLE kept (number integer)"), database_name(first))
    second = postgres.new_database(first)
    assert postgres.execute(SQL("SELECT * FROM kept"), database_name(second)) == []
    for url in (first, second):
        postgres.drop_database(url)


@pytest.mark.parametrize("immediate", [False, True])
def test_it_comes_back_on_the_same_port(immediate: bool) -> None:
    with PostgresServer(fsync=True) as server:
        url, port, folder = server.new_database(), server.port, server._folder
        server.execute(SQL("CREATE TABLE kept (number integer)"), database_name(url))
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert server.cut_connections() == 1
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        server.restart(immediate)
        assert server.port == port
        assert server.execute(SQL("SELECT * FROM kept"), database_name(url)) == []
        pids = server.pids
    assert not any(map(is_alive, pids))
    assert not folder.exists()


def test_it_dies_with_a_test_process_that_is_killed() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from postgres_server import PostgresServer\n"
        "server = PostgresServer(); server.start()\n"
        "print(server._folder, *server.pids, flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder, *pids = process.stdout.readline().split()
        assert len(pids) > 1
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(int(pid)) for pid in pids) and not Path(folder).exists(), 60)
