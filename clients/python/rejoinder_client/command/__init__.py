"""The `rejoinder` command."""

from rejoinder_client.command.program import main

__all__ = ["main"]
