"""How the web app is put together and started."""

import sys
from ipaddress import ip_address
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[2] / "app.py"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def serve_command(port: int, address: str) -> list[str]:
    """The command line that serves the app; the one who runs it owns the process.

    >>> serve_command(8501, "127.0.0.1")[-2:]
    ['--server.address', '127.0.0.1']
    """
    command = [sys.executable, "-m", "streamlit", "run", str(LAUNCHER), "--server.port", str(port)]
    if not _is_loopback(address):
        for name in (*_LOOPBACK_NAMES, address):
            command += ["--server.allowedHosts", name]
    return [*command, "--server.address", address]


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
