"""A built-in handler that answers with its request, for first steps and for checks of a whole installation."""

from typing import Any

from rejoinder_worker.context import Context
from rejoinder_worker.registry import handler


@handler("rejoinder.echo", description="Answers with its request.")
def echo(context: Context, request: Any) -> Any:  # noqa: ARG001 - every handler takes a context
    """Return the request unchanged."""
    return request
