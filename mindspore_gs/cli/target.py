"""Find and build the network that a command is about, from text such as ``mindcv.models:resnet50``."""

import ast
import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mindspore import nn

from mindspore_gs.cli.errors import CommandError
from mindspore_gs.errors import first_line


@contextmanager
def importing_from_here() -> Iterator[None]:
    """Modules in the current directory can be imported inside."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def build(target: str, arguments: Sequence[str] = ()) -> nn.Cell:
    """The network that ``target`` names.

    Args:
        target: ``module:callable``; the callable returns the network. ``module:network`` is taken as it is.
        arguments: ``key=value`` for the callable; see :func:`parse_argument`.

    Raises:
        CommandError: exit code 2 where there is no such module, callable or argument, or it gives no Cell; exit
            code 1 where the user's own code fails.
    """
    found = named(target)
    keywords = dict(parse_argument(text) for text in arguments)
    if isinstance(found, nn.Cell):
        if keywords:
            raise CommandError(f"{target} is a network already, so it takes no --arg.")
        return found
    if not callable(found):
        raise CommandError(f"{target} is of type {type(found).__name__}; it must be a callable that returns a "
                           "mindspore.nn.Cell.")
    _check_signature(target, found, keywords)
    net = _running(f"{target} failed", lambda: found(**keywords))
    if not isinstance(net, nn.Cell):
        raise CommandError(f"{target} returned {type(net).__name__!r}; it must return a mindspore.nn.Cell.")
    return net


def data_from(target: str) -> Any:
    """The batches that ``module:callable`` gives; what is no callable is taken as it is.

    Raises:
        CommandError: there is no such module or name (exit code 2), or the user's own code fails (exit code 1).
    """
    found = named(target)
    return _running(f"{target} failed", found) if callable(found) else found


def parse_argument(text: str) -> tuple[str, Any]:
    """Name and value of ``name=value``: a literal of JSON or Python where it is one, else the text itself.

    Raises:
        CommandError: there is no name.

    Examples:
        >>> [parse_argument(text)[1] for text in ("n=10", "n=[1, 2]", "n=true", "n=None", "n=1e-3", "n=resnet")]
        [10, [1, 2], True, None, 0.001, 'resnet']
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise CommandError(f"--arg must be name=value, such as num_classes=10, but got {text!r}.")
    for read in (json.loads, ast.literal_eval):
        try:
            return name, read(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # of Python, for what is no literal
            continue
    return name, value


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape that ``1,3,224,224`` stands for.

    Raises:
        CommandError: it is no list of positive integers.

    Examples:
        >>> parse_shape("1,3,224,224")
        (1, 3, 224, 224)
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise CommandError(f"--input must be positive integers with commas, such as 1,3,224,224, but got {text!r}.")
    return tuple(int(part) for part in parts)


def named(target: str) -> Any:
    """What ``module:name`` names.

    Raises:
        CommandError: there is no such module, or it has no such name.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise CommandError(f"TARGET must be module:callable, such as mindcv.models:resnet50, but got {target!r}.")
    value = _import(module_name)
    for name in path.split("."):
        if not hasattr(value, name):
            raise CommandError(f"module {module_name!r} has no {path!r}.")
        value = getattr(value, name)
    return value


def _import(name: str) -> Any:
    try:
        return _running(f"module {name!r} cannot be imported", lambda: importlib.import_module(name))
    except CommandError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and (name + ".").startswith(cause.name + "."):
            hint = f" A module is named without its ending: {name[:-3]!r}." if name.endswith(".py") else ""
            raise CommandError(f"there is no module {name!r}, neither installed nor in {os.getcwd()}.{hint}") from cause
        raise


def _running(what: str, run: Any) -> Any:
    """Run the user's code; whatever goes wrong in it, a call of sys.exit() included, is one line."""
    try:
        return run()
    except (Exception, SystemExit) as error:
        raise CommandError(f"{what} ({type(error).__name__}: {first_line(error)})", 1) from error


def _check_signature(target: str, function: Any, keywords: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some callables that are not written in Python have none
        return
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise CommandError(f"{target}{signature} cannot be called so ({error}); give arguments as --arg name=value.") \
            from error
