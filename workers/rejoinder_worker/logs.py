"""Sets up logging of a worker's processes: structured lines on stderr, Dramatiq's and the user's among them."""

import logging
import sys

import structlog
from structlog.typing import Processor

# Dramatiq logs a handler's failure with the message's arguments, and pika logs each failed try to connect. Both are
# logged here once, with the fields that matter.
_QUIET = {
    "dramatiq": logging.WARNING,
    "dramatiq.worker.WorkerThread": logging.CRITICAL,
    "pika": logging.CRITICAL,
    "asyncio": logging.WARNING,
}


def configure(*, log_format: str) -> None:
    """Send all log lines to stderr.

    Args:
        log_format: `console` for people, `json` for programs.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    if log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [output]
    root.setLevel(logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
