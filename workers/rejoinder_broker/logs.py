"""Structured logs of servers and workers: constant messages with fields, on stderr."""

import logging
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import Processor

# Pika logs each failed try to connect; an outage is told once, by whoever holds the connection.
_QUIET = {"pika": logging.CRITICAL, "asyncio": logging.WARNING}


def configure(*, level: str = "info", format: str, quiet: Mapping[str, int] | None = None) -> None:
    """Send structlog's and the standard library's records through one chain.

    Args:
        level: Least level that is logged.
        format: `console` for people or `json` for programs.
        quiet: Least levels of the loggers of libraries whose lines say again what ours say.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # The renderer's own tracebacks show local variables, and with them requests and passwords.
    last: list[Processor] = [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, least in {**_QUIET, **(quiet or {})}.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
