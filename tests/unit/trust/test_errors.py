"""The drawn tree of errors is the tree of classes."""

import inspect

from trust import errors


def drawn(text: str) -> dict[str, int]:
    """Class name -> depth, from the lines of the module's tree."""
    found = {}
    for line in text.splitlines():
        words = line.strip("│├└─ ").split()
        if words and words[0].isidentifier() and hasattr(errors, words[0]):
            found[words[0]] = (len(line) - len(line.lstrip("│├└─ "))) // 4
    return found


def test_the_tree_is_drawn_as_it_is() -> None:
    classes = {
        name: len(kind.__mro__) - len(Exception.__mro__) - 1
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert drawn(errors.__doc__ or "") == classes
