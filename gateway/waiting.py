"""The bounded queues of requests that wait for room in an engine: one a model, with a deadline.

Room that becomes free is the longest waiter's whose model it serves, so one engine that hangs holds
up nobody who could be served elsewhere.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection

from gateway.engine import Engine
from gateway.errors import Refused
from gateway.metrics import GatewayMetrics
from gateway.relay_settings import Routing
from gateway.upstream_errors import QueueFull

# (model, prefix, tried) -> an engine with room, None when all are full; raises Refused.
Choose = Callable[[str, bytes, Collection[Engine]], Engine | None]


class _Waiting:
    """A request in the queue: which engines would do, and its turn."""

    __slots__ = ("model", "prefix", "tried", "turn")

    def __init__(
        self, model: str, prefix: bytes, tried: Collection[Engine], turn: asyncio.Future[Engine]
    ) -> None:
        self.model, self.prefix, self.tried, self.turn = model, prefix, tried, turn


class WaitingRoom:
    """All queues. `choose` names an engine, `take` takes room in it, `give_back` frees that."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        metrics: GatewayMetrics,
        choose: Choose,
        take: Callable[[Engine], Engine],
        give_back: Callable[[Engine], None],
    ) -> None:
        self._loop, self._metrics = loop, metrics
        self._choose, self._take, self._give_back = choose, take, give_back
        # By model; one may be empty for a moment, until those who were served have noticed.
        self.queues: dict[str, deque[_Waiting]] = {}

    @property
    def count(self) -> int:
        """Requests that wait."""
        return sum(map(len, self.queues.values()))

    def count_for(self, engine: Engine) -> int:
        """Those that may come to `engine`."""
        return sum(len(line) for model, line in self.queues.items() if engine.serves(model))

    async def wait(
        self, model: str, prefix: bytes, tried: Collection[Engine], routing: Routing
    ) -> Engine:
        """An engine, once it is this request's turn; its room is taken.

        Waits at most `routing.queue_seconds`. Raises QueueFull, UpstreamFailed.
        """
        waiting = self.queues.get(model, ())
        if len(waiting) >= routing.max_queued:
            raise QueueFull
        entry = _Waiting(model, prefix, tried, self._loop.create_future())
        self.queues.setdefault(model, deque()).append(entry)
        self._metrics.queued.set(self.count)
        began = self._loop.time()
        try:
            async with asyncio.timeout(routing.queue_seconds):
                return await entry.turn
        except BaseException as error:
            # Its turn may have come in the same moment: the room is the next one's.
            if entry.turn.done() and not entry.turn.cancelled() and not entry.turn.exception():
                self._give_back(entry.turn.result())
            if isinstance(error, TimeoutError):
                raise QueueFull from None
            raise
        finally:
            self._leave(entry)
            self._metrics.queue_duration.observe(self._loop.time() - began)

    def serve(self) -> None:
        """Give room that has become free to those who wait for it, first come first served."""
        for model, waiting in tuple(self.queues.items()):
            while waiting:
                entry = waiting[0]
                if not entry.turn.done():
                    try:
                        engine = self._choose(model, entry.prefix, entry.tried)
                    except Refused as error:
                        entry.turn.set_exception(error)
                    else:
                        if engine is None:
                            break
                        entry.turn.set_result(self._take(engine))
                waiting.popleft()

    def _leave(self, entry: _Waiting) -> None:
        waiting = self.queues.get(entry.model)
        if waiting is not None:
            if entry in waiting:
                waiting.remove(entry)
            if not waiting:
                del self.queues[entry.model]
        self._metrics.queued.set(self.count)
