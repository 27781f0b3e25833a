"""One engine: what it last said, what it is doing, and how people are told of both."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from gateway.relay_settings import Routing, Upstream
from gateway.routing import Breaker
from gateway.target import Target
from ledger.upstreams import Drain

State = Literal["healthy", "unhealthy", "unknown", "breaker_open", "draining", "drained"]


class Failure(NamedTuple):
    """Something an engine did wrong: a reason of the metrics, or what a look at it met."""

    at: datetime
    why: str


class Engine:
    """One upstream, what it last said (None in `up` before it was asked) and what it is doing.

    `drained`: it gets nothing new, because somebody said so (`drain`) or nobody could be asked yet.
    """

    def __init__(
        self, config: Upstream, routing: Routing, clock: Callable[[], datetime], *, drained: bool
    ) -> None:
        self.config, self._clock = config, clock
        self.name, self.max_concurrent = config.name, config.max_concurrent
        self.target = Target.of(config.url)
        self.up: bool | None = None
        self.listed: dict[str, dict[str, Any]] = {}
        self.active = 0
        self.drain: Drain | None = None
        self.drained = drained
        self.breaker = Breaker(routing.breaker_failures, routing.breaker_open_seconds)
        self.failure: Failure | None = None
        self.since = clock()
        self._heads: dict[str, bytes] = {}

    @property
    def state(self) -> State:
        """The one word for it: that somebody drained it counts most, then the breaker."""
        if self.drained:
            return "draining" if self.active else "drained"
        if self.breaker.opened_at is not None:
            return "breaker_open"
        if self.up is None:
            return "unknown"
        return "healthy" if self.up else "unhealthy"

    @property
    def has_room(self) -> bool:
        """Whether one more request may be sent to it."""
        return self.active < self.max_concurrent

    def serves(self, model: str) -> bool:
        """Whether requests for `model` may go here."""
        return model in self.config.models if self.config.models else model in self.listed

    def may_serve(self, model: str) -> bool:
        """Whether requests for `model` may come to go here, once the engine lists it."""
        return not self.config.models or model in self.config.models

    def changed(self) -> None:
        """It has just come into another state."""
        self.since = self._clock()

    def failed(self, why: str) -> None:
        """It has just done something wrong."""
        self.failure = Failure(self._clock(), why)

    def head(self, path: str) -> bytes:
        """The part of a POST's head to `path` that every request has."""
        head = self._heads.get(path)
        if head is None:
            head = self.target.head(b"POST", path.encode("ascii"))
            head = self._heads[path] = head + b"content-type: application/json\r\n"
        return head

    def report(self, waiting: int) -> dict[str, Any]:
        """What operators are told; `waiting`: requests in line that may come here. No address."""
        failure, drain = self.failure, self.drain
        return {
            "name": self.name,
            "models": list(self.config.models or self.listed),
            "state": self.state,
            "since": self.since,
            "running": self.active,
            "waiting": waiting,
            "last_failure": None if failure is None else {"why": failure.why, "at": failure.at},
            "drained": None
            if drain is None
            else {"by": drain.changed_by, "reason": drain.reason, "at": drain.changed_at},
        }
