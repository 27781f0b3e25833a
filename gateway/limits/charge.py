"""What a request was charged, and what becomes of it when the request is over. Pure."""

from collections.abc import Callable
from typing import Final

from gateway.limits.meters import Held, Mark, Meter
from gateway.seams import Reservation
from gateway.usage import Usage


class Charge(Reservation):
    """A request's place in its limits. `now`: a clock, monotonic seconds; `marks`: one a meter."""

    __slots__ = ("_marks", "_meters", "_now", "_tokens", "completion")

    def __init__(
        self, now: Callable[[], float], meters: list[Meter], marks: list[Mark], tokens: int
    ) -> None:
        self._now, self._meters, self._marks = now, meters, marks
        self._tokens = tokens
        # How much of it was reserved for the answer.
        self.completion = 0

    def settle(self, usage: Usage | None) -> None:
        """See seams.Reservation."""
        now = self._now()
        spent = 0 if usage is None else _spent(usage, self._tokens, self.completion)
        for place, meter in enumerate(self._meters):
            if meter.in_tokens:
                meter.adjust(self._marks[place], spent - self._tokens, now)
            elif usage is None or isinstance(meter, Held):
                meter.adjust(self._marks[place], -1, now)


class Free(Reservation):
    """The reservation of a request without limits."""

    def settle(self, usage: Usage | None) -> None:
        """See seams.Reservation."""


FREE: Final = Free()


def _spent(usage: Usage, reserved: int, completion: int) -> int:
    """What a request has used: as counted, and what was reserved of what nobody counted."""
    prompt = reserved - completion if usage.prompt_tokens is None else usage.prompt_tokens
    return prompt + (completion if usage.completion_tokens is None else usage.completion_tokens)
