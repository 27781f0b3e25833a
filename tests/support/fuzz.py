"""Bytes that nobody honest sends, made from honest ones; seeded, so that a run can be repeated.

`Fuzz` makes requests for the gateway's public port and answers for it to read from an engine. It
knows HTTP and JSON well enough to be wrong in the places where parsers differ.
"""

import itertools
import random
from collections.abc import Callable, Sequence

import orjson

PROMPT = "my-darkest-secret"
LINES = (
    b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
    b"Content-Length: 0x10", b"Content-Length: 1, 2", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding : x",
    b"Host: other", b"Host:", b" folded: line", b"NoColon", b": empty", b"A\x00B: c",
    b"Expect: 100-continue", b"Expect: 200-maybe", b"Connection: close", b"Connection: upgrade",
    b"Upgrade: h2c", b"Content-Type: text/html", b"Content-Type: application/json; x=\"",
    b"Content-Encoding: gzip", b"Authorization: Basic eDp5", b"Authorization: Bearer",
    b"Authorization: Bearer \xff\xfe", b"X-Request-Id: " + b"i" * 300, b"X-Request-Id: a\tb",
    b"traceparent: 00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"Cookie: " + b"c" * 3000,
)  # fmt: skip
FIRST_LINES = (
    b"POST %b HTTP/1.0", b"POST %b HTTP/2.0", b"POST %b HTTP/9.9", b"POST %b", b"post %b HTTP/1.1",
    b"CONNECT %b HTTP/1.1", b"OPTIONS * HTTP/1.1", b"PRI * HTTP/2.0", b"TRACE %b HTTP/1.1",
    b"POST http://other%b HTTP/1.1", b"POST %b?a=%%00 HTTP/1.1", b"POST  %b  HTTP/1.1",
    b"POST /..%b HTTP/1.1", b"POST %b\xff HTTP/1.1", b"\r\n\r\nPOST %b HTTP/1.1",
)  # fmt: skip
ATOMS = (
    b"\r\n", b"\n", b"\r", b"\x00", b"\xff", b"{", b"}", b"[", b'"', b":", b",", b"data:",
    b"data: [DONE]\n\n", b'{"error":{"message":"x"}}', b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"-1\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\xf0\x9f\x92\xa9",
    b'"usage":{"prompt_tokens":-1}', b'"usage":{"completion_tokens":1e308}', b'"choices":[]',
)  # fmt: skip


class Fuzz:
    """One stream of chances; equal seeds make equal bytes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - not for secrets

    def mutated(self, data: bytes) -> bytes:
        """`data` with a few bytes changed, cut out, doubled or put in."""
        value = bytearray(data)
        for _ in range(self.chance.randrange(1, 5)):
            at = self.chance.randrange(len(value) + 1)
            length = self.chance.choice((1, 1, 2, 8, 40))
            deed = self.chance.randrange(5)
            if deed == 0:
                value[at : at + length] = self.chance.randbytes(length)
            elif deed == 1:
                del value[at : at + length]
            elif deed == 2:
                value[at:at] = value[at : at + length] * self.chance.randrange(1, 4)
            elif deed == 3:
                value[at:at] = self.chance.choice(ATOMS)
            elif value:
                value[at % len(value)] ^= 1 << self.chance.randrange(8)
        return bytes(value)

    def cut(self, data: bytes) -> list[bytes]:
        """`data` in up to four pieces, perhaps without its end."""
        end = self.chance.choice((len(data),) * 5 + (self.chance.randrange(len(data) + 1),))
        places = sorted(self.chance.randrange(end + 1) for _ in range(self.chance.randrange(4)))
        bounds = [0, *places, end]
        return [data[a:b] for a, b in itertools.pairwise(bounds)]

    # Requests -----------------------------------------------------------------------------------

    def request(self, paths: Sequence[str], key: str, model: str) -> bytes:
        """A request that may be wrong anywhere, or nowhere."""
        body = self.body(model)
        path = self.chance.choice(paths).encode()
        first = b"POST %b HTTP/1.1"
        if self.chance.random() < 0.1:
            first = self.chance.choice(FIRST_LINES)
        first = first.replace(b"%b", path)
        lines = [first, b"Host: gateway", b"Authorization: Bearer " + key.encode()]
        if self.chance.random() < 0.3:
            lines.append(b"Transfer-Encoding: chunked")
            body = self.chunked(body)
        else:
            lines.append(b"Content-Length: %d" % len(body))
        for _ in range(self.chance.choice((0,) * 12 + (1, 1, 1, 2, 2, 120))):
            lines.insert(self.chance.randrange(1, len(lines) + 1), self.chance.choice(LINES))
        if self.chance.random() < 0.05:
            lines.insert(1, b"A: " + b"a" * self.chance.choice((30_000, 40_000, 300_000)))
        whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
        if self.chance.random() < 0.2:
            whole = self.mutated(whole)
        return whole * (2 if self.chance.random() < 0.05 else 1)

    def body(self, model: str) -> bytes:
        """A body that an engine would take, or one that is odd in JSON or in what it says."""
        depth = self.chance.choice((1, 3, 200, 260, 600, 1100))
        odd: list[Callable[[], object]] = [
            lambda: None,
            lambda: True,
            lambda: self.chance.choice((-1, 0, 1, 2**53, 2**63, -(2**63), 1e308, 0.1)),
            lambda: "x" * self.chance.choice((0, 1, 300)),
            lambda: "\u2028\U0001f4a9\x00",
            lambda: [1, [2, {"a": 3}]],
            lambda: {"include_usage": False, "x": {}},
        ]
        value: dict[str, object] = {
            "model": model,
            "messages": [{"role": "user", "content": f"say 1 {PROMPT}"}],
            "prompt": PROMPT,
            "input": PROMPT,
            "stream": self.chance.random() < 0.5,
            "max_tokens": 2,
        }
        names = [*value, "n", "best_of", "stream_options", "Model", "STREAM", "max_output_tokens"]
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            value[self.chance.choice(names)] = self.chance.choice(odd)()
        body = orjson.dumps(value)
        if self.chance.random() < 0.2:
            deep = b'{"a":' * depth + b"1" + b"}" * depth
            body = body[:-1] + b',"deep":' + deep + b',"stream_options":{},"x":"\\"model\\""}'
        if self.chance.random() < 0.05:
            body += b" " * self.chance.choice((10_000, 70_000, 200_000))
        return self.mutated(body) if self.chance.random() < 0.15 else body

    def chunked(self, body: bytes) -> bytes:
        """`body` in chunks of odd sizes, with extensions and trailers."""
        framed, at = b"", 0
        while at < len(body):
            size = self.chance.choice((1, 7, 100, 5000))
            piece = body[at : at + size]
            extension = self.chance.choice((b"", b"", b";a", b';a="b"', b";" + b"x" * 50))
            framed += b"%x%b\r\n%b\r\n" % (len(piece), extension, piece)
            at += size
        trailer = self.chance.choice((b"", b"", b"A: b\r\n", b"Content-Length: 1\r\n"))
        return framed + b"0\r\n" + trailer + b"\r\n"

    # Answers ------------------------------------------------------------------------------------

    def answer(self, secret: str) -> bytes:
        """What an engine might send for a completion; what it says of itself has `secret`."""
        stream = self.chance.random() < 0.5
        body = self._events() if stream else self._whole()
        status = self.chance.choice(
            (200,) * 12 + (100, 204, 301, 304, 400, 401, 404, 429, 500, 503)
        )
        if status >= 400:
            body = b'{"oops": "Traceback %b"}' % secret.encode()
        if self.chance.random() < 0.4:
            body = self.mutated(body)
        kind = b"text/event-stream" if stream else b"application/json"
        lines = [b"HTTP/1.1 %d %b" % (status, secret.encode()), b"Content-Type: " + kind]
        lines.append(b"Server: " + secret.encode())
        framing = self.chance.randrange(4)
        if framing == 0:
            lines.append(b"Content-Length: %d" % len(body))
        elif framing in (1, 2):
            lines.append(b"Transfer-Encoding: chunked")
            body = self.chunked(body)
        if self.chance.random() < 0.1:
            lines.insert(1, self.chance.choice(LINES))
        if self.chance.random() < 0.03:
            lines.insert(1, b"A: " + b"a" * 70_000)
        whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
        whole *= 2 if self.chance.random() < 0.03 else 1
        return self.mutated(whole) if self.chance.random() < 0.3 else whole

    def _whole(self) -> bytes:
        deep = b'{"a":' * 600 + b"1" + b"}" * 600
        return self.chance.choice((
            b'{"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}',
            b'{"id":"1","usage":null}', b"[]", b"null", b'"text"', b"", b'{"error":"x"}',
            b'{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":true}}',
            b'{"usage":{"input_tokens":1e400}}', b'{"choices":' + deep + b"}",
        ))  # fmt: skip

    def _events(self) -> bytes:
        end = self.chance.choice((b"\n\n", b"\r\n\r\n", b"\r\r", b"\n"))
        events = [
            self.chance.choice((
                b'data: {"choices":[{"delta":{"content":"w"}}]}', b"data:", b": comment",
                b"data: 7",
                b"event: x\ndata: {}", b"id: 1\nretry: 9", b'data: {"error":{"message":"e"}}',
                b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
                b"data: [DONE]", b"data: {\ndata: }", b"data: " + b"x" * 40_000,
                b"\xef\xbb\xbfdata: 1",
            ))
            for _ in range(self.chance.randrange(8))
        ]  # fmt: skip
        done = self.chance.choice(
            (b"data: [DONE]" + end, b"data: [DONE]" + end, b"", b"data: [DONE]")
        )
        return b"".join(event + end for event in events) + done
