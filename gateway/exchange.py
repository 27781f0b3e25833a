"""One HTTP request and its answer, over ASGI: bounded reading, bounded writing, who left when.

Plain ASGI and no framework: what is relayed should pass through as little as possible.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from gateway import answers
from gateway.answers import Header
from gateway.errors import BadRequest, BodyTimeout, BodyTooLarge, ClientGone, Refused
from gateway.request import Headers, only, request_id, traceparent
from gateway.settings import Limits, Timeouts

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
T = TypeVar("T")

CLIENT_GONE_STATUS = 499
EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Exchange:
    """A request being answered. `status` is what was sent, None while nothing was."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        timeouts: Timeouts,
        limits: Limits,
        fresh_id: str,
    ) -> None:
        self.receive, self._send = receive, send
        self._timeouts, self._limits = timeouts, limits
        self.began = time.monotonic()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Headers = tuple(scope["headers"])
        client = scope.get("client")
        self.client: str | None = client[0] if client else None
        self.request_id = request_id(self.headers, fresh_id)
        self.traceparent = traceparent(self.headers)
        self.status: int | None = None
        self.complete = False
        # What every answer says besides: asked for when its head is sent.
        self.also: Callable[[], Iterable[Header]] = tuple

    @property
    def elapsed_seconds(self) -> float:
        """Since the request's head was read."""
        return time.monotonic() - self.began

    async def read_body(self) -> bytes:
        """The whole body; raises BodyTooLarge, BodyTimeout, ClientGone."""
        limit = self._limits.max_body_bytes
        too_large = f"The body must be at most {limit} bytes."
        announced = only(self.headers, b"content-length")
        if announced is not None and not announced.isdigit():
            raise BadRequest("The content length is not a number.")
        if announced is not None and int(announced) > limit:
            raise BodyTooLarge(too_large)
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._timeouts.body_read_seconds):
                while True:
                    message = await self.receive()
                    if message["type"] != "http.request":
                        raise ClientGone
                    size += len(message["body"])
                    if size > limit:
                        raise BodyTooLarge(too_large)
                    parts.append(message["body"])
                    if not message["more_body"]:
                        return b"".join(parts)
        except TimeoutError:
            raise BodyTimeout("The body did not arrive in time.") from None

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """The result of `work`, which is cancelled at once when the client leaves (ClientGone).

        Call it after the body was read: until then a message from the client is no farewell.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.create_task(self._gone())
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not self.complete:
                raise ClientGone
            # Once the last byte is sent, ASGI calls the end of the answer a disconnect too.
            return await task
        finally:
            for waiting in (task, gone):
                waiting.cancel()
            # Both have let go of their sockets when we go on.
            await asyncio.gather(task, gone, return_exceptions=True)

    async def begin_stream(self) -> None:
        """Send the head of a stream of events."""
        await self._start(200, [*EVENT_STREAM])

    async def send_part(self, body: bytes, *, last: bool = False) -> None:
        """Send a piece of the body; raises ClientGone when the client does not read it in time."""
        await self._deliver({"type": "http.response.body", "body": body, "more_body": not last})
        self.complete = last

    async def send_whole(
        self, status: int, body: bytes, extra: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole JSON answer."""
        await self._start(status, answers.headers(body, extra or {}))
        await self.send_part(body, last=True)

    async def refuse(self, refusal: Refused) -> None:
        """Tell the client: with a status, or inside a stream that has begun and ends in pieces.

        A stream is not ended properly then: the connection closes without the last chunk, so that
        no client takes what it has for a whole answer.
        """
        if self.status is None:
            await self.send_whole(refusal.status, answers.error_body(refusal), refusal.headers)
        elif not self.complete:
            await self.send_part(answers.error_event(refusal))

    async def observed_send(self, message: dict[str, Any]) -> None:
        """ASGI's send for an application that answers by itself, with the request's id added."""
        if message["type"] == "http.response.start":
            await self._start(message["status"], list(message["headers"]))
        else:
            await self.send_part(message.get("body", b""), last=not message.get("more_body"))

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        headers.append((b"x-request-id", self.request_id.encode("ascii")))
        headers += self.also()
        await self._deliver({"type": "http.response.start", "status": status, "headers": headers})

    async def _deliver(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._timeouts.client_write_seconds):
                await self._send(message)
        except TimeoutError:
            raise ClientGone from None

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
