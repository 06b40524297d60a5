"""Empty stand-ins for modules that a library imports and that its networks do not need.

mindyolo and mindocr read data sets, post-process boxes and fetch tokenizers as soon as anything of theirs is imported,
and mindocr imports a part of MindSpore that 2.10 lacks. Their networks use none of that, so neither a dozen packages
with pins that disagree nor an old MindSpore have to be installed.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """A module in which every name exists: a class where it begins with a capital, else a function.

    Called with one function the function returns it, so that it can stand for a decorator.
    """

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else _same


def _same(*arguments: Any, **options: Any) -> Any:
    return arguments[0] if len(arguments) == 1 and callable(arguments[0]) and not options else _same


class _Finder(MetaPathFinder, Loader):
    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        known = any(name == prefix or name.startswith(prefix + ".") for prefix in self.names)
        return ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def stand_in(*names: str) -> None:
    """Let ``names`` be imported, with all that is below them; modules that are installed stay what they are."""
    missing = [name for name in names if name not in sys.modules and not _installed(name)]
    sys.meta_path.append(_Finder(missing))


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
