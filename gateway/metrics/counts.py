"""What is counted of every request, as held objects: nothing is looked up by labels on its path."""

from collections.abc import Iterable

from gateway.metrics.tallies import Spread, Spreads, Tallies, Tally
from gateway.usage import Usage


class RouteCounts:
    """The requests of one route. `statuses` have their series from the start; others are counted,
    too.
    """

    __slots__ = ("_by_status", "_durations", "_requests", "_route", "in_flight")

    def __init__(
        self,
        route: str,
        statuses: Iterable[int],
        requests: Tallies,
        durations: Spreads,
        in_flight: Tallies,
    ) -> None:
        self._route, self._requests = route, requests
        self._by_status: dict[int, Tally] = {}
        for status in statuses:
            self._by_status[status] = requests.labels(route, str(status))
        self._durations: Spread = durations.labels(route)
        self.in_flight: Tally = in_flight.labels(route)

    def over(self, status: int, seconds: float) -> None:
        """Count a request that is over."""
        tally = self._by_status.get(status)
        if tally is None:
            tally = self._requests.labels(self._route, str(status))
            self._by_status[status] = tally
        tally.inc()
        self._durations.observe(seconds)


class TokenCounts:
    """The tokens of one engine."""

    __slots__ = ("_completion", "_prompt")

    def __init__(self, prompt: Tally, completion: Tally) -> None:
        self._prompt, self._completion = prompt, completion

    def add(self, usage: Usage) -> None:
        """Count what it said of a request."""
        if usage.prompt_tokens is not None:
            self._prompt.inc(usage.prompt_tokens)
        if usage.completion_tokens is not None:
            self._completion.inc(usage.completion_tokens)


class CommitCounts:
    """The spool's commits."""

    __slots__ = ("_records", "_seconds")

    def __init__(self, seconds: Spread, records: Tally) -> None:
        self._seconds, self._records = seconds, records

    def committed(self, seconds: float, records: int) -> None:
        """Count one."""
        self._seconds.observe(seconds)
        self._records.inc(records)
