"""A TCP proxy before PostgreSQL that loses connections where it hurts: at a COMMIT, before or after it arrives."""

import random
import select
import socket
import threading
from contextlib import closing, suppress
from types import TracebackType

COMMIT = b"COMMIT\0"
_CHUNK = 1 << 16


class LossyProxy:
    """Listens on loopback until the block ends; of the commits that pass, a share of `loss` is lost.

    Of a share of `answered` of those the server's answer does not reach the client; the others do not reach the server.
    """

    def __init__(self, server_port: int, loss: float, seed: int, answered: float = 0.5) -> None:
        self._answered = answered
        self._server_port, self._loss, self._rng = server_port, loss, random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.commits_lost = 0
        self.answers_lost = 0

    def __enter__(self) -> "LossyProxy":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: "threading._Target", *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._ended.is_set():
            with suppress(TimeoutError):
                self._start(self._serve, self._listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._server_port))
            with closing(server):
                self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what either says until one has ended, or a commit is lost."""
        while not self._ended.is_set():
            for speaker in select.select([client, server], [], [], 0.1)[0]:
                said = speaker.recv(_CHUNK)
                if not said:
                    return
                if speaker is client and COMMIT in said and self._rng.random() < self._loss:
                    self._lose(said, server)
                    return
                (server if speaker is client else client).sendall(said)

    def _lose(self, commit: bytes, server: socket.socket) -> None:
        if self._rng.random() >= self._answered:
            self.commits_lost += 1
            return
        server.sendall(commit)
        server.recv(_CHUNK)
        self.answers_lost += 1
