"""What a request was charged, and what becomes of it when the request is over. Pure."""

from collections.abc import Callable, Sequence

from gateway.limits.meters import Mark, Meter
from gateway.usage import Usage
from ledger.quotas import CONCURRENT


class Charge:
    """A request's place in its limits (seams.Reservation). `now`: a clock, monotonic seconds."""

    __slots__ = ("_marks", "_meters", "_now", "_tokens", "completion")

    def __init__(
        self, now: Callable[[], float], meters: Sequence[Meter], marks: Sequence[Mark], tokens: int
    ) -> None:
        self._now, self._meters, self._marks = now, meters, marks
        self._tokens = tokens
        # How much of it was reserved for the answer.
        self.completion = 0

    def settle(self, usage: Usage | None) -> None:
        """See seams.Reservation."""
        now = self._now()
        spent = None if usage is None else _spent(usage, self._tokens, self.completion)
        for meter, mark in zip(self._meters, self._marks, strict=True):
            if meter.unit == "token":
                meter.adjust(mark, (spent or 0) - self._tokens, now)
            elif spent is None or meter.name == CONCURRENT:
                meter.adjust(mark, -1, now)


class Free:
    """The reservation of a request without limits."""

    def settle(self, usage: Usage | None) -> None:
        """See seams.Reservation."""


FREE = Free()


def _spent(usage: Usage, reserved: int, completion: int) -> int:
    """What a request has used: as counted, and what was reserved of what nobody counted."""
    prompt = reserved - completion if usage.prompt_tokens is None else usage.prompt_tokens
    return prompt + (completion if usage.completion_tokens is None else usage.completion_tokens)
