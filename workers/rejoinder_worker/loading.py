"""Imports the modules that hold handlers."""

import importlib
import sys
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dramatiq.middleware import Middleware

from rejoinder_worker.errors import LoadError, SetupError
from rejoinder_worker.registry import DEFAULT_REGISTRY, Handler, Registry
from rejoinder_worker.runs import routines


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker serves.

    Attributes:
        handlers: The handlers of the chosen queues.
        middleware: The user's own Dramatiq middleware.
    """

    handlers: tuple[Handler, ...]
    middleware: tuple[Middleware, ...]


def load(modules: Sequence[str], *, queues: Collection[str] = ()) -> Loaded:
    """Import modules and collect their handlers.

    Args:
        modules: `module` for what its decorators register, `module:name` for a Registry in it.
        queues: Queues to serve; all when empty.

    Raises:
        SetupError: A module cannot be imported, there are no handlers, or they contradict each other.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    registries: list[Registry] = []
    for each in modules:
        registry = _load_one(each)
        if registry not in registries:
            registries.append(registry)
    merged = Registry()
    for registry in registries:
        for handler in registry.handlers:
            merged.add(handler)
    chosen = tuple(handler for handler in merged.handlers if not queues or handler.queue in queues)
    _check(chosen, modules=modules, queues=queues, known={handler.queue for handler in merged.handlers})
    middleware = tuple(each for registry in registries for each in registry.added_middleware)
    return Loaded(handlers=chosen, middleware=middleware)


def _load_one(name: str) -> Registry:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except SetupError:
        raise
    except ModuleNotFoundError as error:
        raise LoadError(f"cannot import {module_name!r}: {error}; is it installed, or in this folder?") from error
    except (Exception, SystemExit) as error:  # the module is the user's code and may raise anything
        raise LoadError(f"cannot import {module_name!r}: {_described(error)}") from error
    if not attribute:
        return DEFAULT_REGISTRY
    registry = getattr(module, attribute, None)
    if not isinstance(registry, Registry):
        found = "no such name" if registry is None else f"a value of type {type(registry).__name__}"
        raise LoadError(f"{name!r} must be a rejoinder_worker.Registry, but there is {found}")
    return registry


def _described(error: BaseException) -> str:
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if isinstance(error, SyntaxError):
        return f"{what} ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    return f"{what} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else what


def _is_ours(file_name: str) -> bool:
    return "importlib" in file_name or file_name == __file__


def _check(
    handlers: Sequence[Handler], *, modules: Sequence[str], queues: Collection[str], known: Collection[str]
) -> None:
    if unknown := sorted(set(queues) - set(known)):
        has = f"they have {', '.join(sorted(known))}" if known else "there are no handlers"
        raise LoadError(f"no handler has the queue {', '.join(unknown)}; {has}")
    if not handlers:
        raise LoadError(f"there are no handlers in {', '.join(modules)}; register some with @rejoinder_worker.handler")
    routines(handlers)
