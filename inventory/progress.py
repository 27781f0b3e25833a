"""How long work tells a person (or nobody) what it is doing.

Parts that take time accept a `Progress`; `fedctl/render.py` shows it with rich and writes it to the
run's log, tests pass `Silent()`. Nothing below `fedctl/` prints.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """What long work reports to."""

    def phase(self, title: str) -> AbstractContextManager[None]:
        """A step with an elapsed time; an exception passing through marks it failed."""

    def note(self, text: str) -> None:
        """One line of detail within the current phase."""


class Silent:
    """A Progress that shows nothing."""

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Do nothing around the step."""
        del title
        yield

    def note(self, text: str) -> None:
        """Drop the line."""
        del text
