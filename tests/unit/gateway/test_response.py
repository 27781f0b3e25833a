"""A connection to an engine: what of an answer counts, and when it may be used again."""

import pytest

from gateway.asking import is_plain_success
from gateway.relay_settings import Limits, Timeouts
from gateway.response import PLAIN, Response
from gateway.target import Target
from gateway.transport import Transport
from tests.support.front_door import NO_ENGINES, Wire

BODY = b"content-length: 2\r\n\r\n{}"


class Engine(Wire):
    """An engine's end of a connection: it answers at once."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("10.0.0.2")
        self.answer = answer
        self.response: Response

    def write(self, data: bytes) -> None:
        super().write(data)
        self.response.data_received(self.answer)


class Asked:
    """A transport with one kept connection, to an engine that gives this answer."""

    def __init__(self, answer: bytes) -> None:
        self.transport = Transport(NO_ENGINES, Timeouts(), Limits())
        self.target = Target.of("http://engine:1")
        self.engine = Engine(answer)
        self.engine.response = Response(self.transport, self.target)
        self.engine.response.connection_made(self.engine)
        self.transport.keep(self.engine.response)

    async def answer(self, **how: bool) -> Response:
        return await self.transport.ask(self.target, b"a request", **how)


@pytest.mark.parametrize("name", [b"content-encoding", b"Content-Encoding", b"CONTENT-ENCODING"])
async def test_how_an_answer_is_compressed_is_read_in_any_case(name: bytes) -> None:
    asked = Asked(b"HTTP/1.1 200 OK\r\n%b: gzip\r\n" % name + BODY)
    response = await asked.answer()
    assert response.coding == b"gzip" and not is_plain_success(response)


async def test_a_connection_is_used_again_and_nothing_stays_of_the_answer_before() -> None:
    asked = Asked(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nx-of-sixteen-too: 1\r\n" + BODY)
    first = await asked.answer()
    assert first.body() == b"{}"
    first.release()
    assert asked.target.idle == [first]
    asked.engine.answer = b"HTTP/1.1 200 OK\r\n" + BODY
    second = await asked.answer()
    assert second is first and second.uses == 2 and not asked.target.idle
    assert second.coding == PLAIN and is_plain_success(second) and second.body() == b"{}"


async def test_what_an_answer_left_unread_is_not_the_next_ones() -> None:
    asked = Asked(b"HTTP/1.1 404 Not Found\r\n" + BODY)
    (await asked.answer()).release()
    asked.engine.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    assert (await asked.answer()).body() == b""


async def test_a_connection_let_go_of_twice_is_closed_and_not_kept_twice() -> None:
    asked = Asked(b"HTTP/1.1 200 OK\r\n" + BODY)
    response = await asked.answer()
    response.release()
    response.release()
    assert response.closed and not asked.target.idle


async def test_bytes_that_answer_nothing_close_the_connection() -> None:
    asked = Asked(b"HTTP/1.1 200 OK\r\n" + BODY)
    response = await asked.answer()
    response.release()
    response.data_received(b"HTTP/1.1 200 OK\r\n" + BODY)
    assert response.closed and not asked.target.idle


async def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    asked = Asked(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    response = await asked.answer(stream=True)
    response.connection_lost(None)
    assert await response.read(1.0) == b"all of it"
    assert response.complete and await response.read(1.0) == b""
    response.release()
    assert not asked.target.idle


async def test_an_answer_with_a_length_does_not() -> None:
    asked = Asked(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 9\r\n\r\nall")
    response = await asked.answer(stream=True)
    response.connection_lost(None)
    assert not response.complete
