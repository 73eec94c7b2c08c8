"""What runs users' handlers: everything that a module with handlers needs is named here."""

from rejoinder_worker.context import Context
from rejoinder_worker.errors import Cancelled, PermanentError, RegistrationError, RetryLater
from rejoinder_worker.registry import Registry, handler, middleware

__all__ = [
    "Cancelled",
    "Context",
    "PermanentError",
    "RegistrationError",
    "Registry",
    "RetryLater",
    "handler",
    "middleware",
]
