"""Steps and commands, found by their files."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def discover(package: ModuleType, base: type[T], only: str | None = None) -> list[T]:
    """One instance of each concrete class of `base` that the modules of a package define, by module name.

    `only` imports the module with that name alone; none is found when there is no such module.
    """
    found: list[T] = []
    for info in pkgutil.iter_modules(package.__path__):
        if only not in (None, info.name):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found += [
            kind()
            for kind in vars(module).values()
            if inspect.isclass(kind)
            and issubclass(kind, base)
            and not inspect.isabstract(kind)
            and kind.__module__ == module.__name__
        ]
    return found
