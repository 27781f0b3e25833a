"""Each errors.py opens with its tree of exceptions, drawn as the classes are."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = [*REPOSITORY.glob("*/*errors.py"), *REPOSITORY.glob("*/*/errors.py")]
MODULES = sorted(".".join(p.relative_to(REPOSITORY).with_suffix("").parts) for p in FILES)
LINES = "│├└─ "


def drawn(module: ModuleType) -> dict[str, int]:
    """Class name -> depth, in the block of lines after the docstring's first sentence."""
    block = (module.__doc__ or "").split("\n\n")[1]
    return {
        line.strip(LINES).split()[0]: (len(line) - len(line.lstrip(LINES))) // 4
        for line in block.splitlines()
    }


def defined(module: ModuleType) -> dict[str, int]:
    """Class name -> depth, of the tree whose root is the module's first exception."""
    kinds = [kind for kind in vars(module).values() if inspect.isclass(kind)]
    kinds = [kind for kind in kinds if kind.__module__ == module.__name__]
    root = next(kind for kind in kinds if issubclass(kind, Exception))
    return {
        kind.__name__: len(kind.__mro__) - len(root.__mro__)
        for kind in kinds
        if issubclass(kind, root)
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_tree_is_drawn_as_it_is(name: str) -> None:
    module = importlib.import_module(name)
    assert drawn(module) == defined(module)
