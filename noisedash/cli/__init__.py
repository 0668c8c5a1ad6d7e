"""The command line: everything that the browser does."""

from noisedash.cli.app import main

__all__ = ["main"]
