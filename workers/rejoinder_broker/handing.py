"""Handing what arrives to a handler that belongs to somebody else."""

from collections.abc import Callable
from typing import ParamSpec

import structlog

_P = ParamSpec("_P")

log = structlog.get_logger(__name__)


def hand(handler: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Call a handler; what it raises is logged, because it must not tear down the connection that called it."""
    try:
        handler(*args, **kwargs)
    except Exception:
        log.exception("handler raised", handler=getattr(handler, "__name__", "handler"))
