"""Every error a client can bring about, collected, and searched for what must not be in it.

One list for all: raw answers, heads included, of a gateway that is refused, overrun, cut off from
its engine, its ledger and its disk. That the list is whole is checked against the codes in the
gateway's own tree of errors.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator
from typing import Any

import orjson

from gateway import errors
from ledger.connect import connect
from ledger.limits import Limits, key_subject, set_limits
from ledger.upstreams import set_drained
from tests.integration.gateway.conftest import Starter, upstreams
from tests.integration.gateway.test_fuzz import RawEngine
from tests.support.fuzz import PROMPT, Fuzz
from tests.support.gateway import Gateway
from tests.support.upstream import MODEL, Engine
from trust import apikeys

CHAT = "/v1/chat/completions"
ENGINE_SECRET = "10.9.8.7 /srv/models/secret-weights"
# What an error of ours never has, whatever went wrong. Versions and libraries tell an attacker
# where to look; addresses and paths tell them what is behind us.
FORBIDDEN = {
    "a stack trace": rb"Traceback|File \"|line \d+|\.py\b",
    "a library": rb"(?i)asyncio|uvloop|httptools|psycopg|orjson|aiohttp|uvicorn|python",
    "a part behind us": rb"(?i)postgres|vllm|\bserver:",
    "an address": rb"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|localhost|::1",
    "a path of ours": rb"/tmp/|/etc/|/var/|/srv/|/opt/|/work/",
    # (BadRequestError is what engines call theirs, in the bodies that are passed on.)
    "an exception": rb"\b(?!BadRequestError)\w+(Error|Exception)\b",
}
# A fault of this program cannot be asked for; its body is made from constants like the others.
# Keys that do not work, from one address, before it is told to wait.
SOURCE_BURST = 30
NOT_ASKED_FOR = {"internal_error"}


class Collected:
    """Raw answers, by what was done to get them."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}

    def add(self, what: str, answer: bytes) -> None:
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), (what, answer)
        self.answers[what] = answer

    def codes(self) -> set[str]:
        found = set()
        for answer in self.answers.values():
            code = orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
            found |= {code} if code else set()
        return found


def codes_in_the_tree() -> Iterator[str]:
    def tree(kind: type[errors.Refused]) -> Iterator[type[errors.Refused]]:
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    return (kind.code for kind in tree(errors.Refused) if kind.code is not None)


async def raw(gateway: Gateway, payload: bytes, seconds: float = 60.0) -> bytes:
    reader, writer = await asyncio.open_connection(
        "localhost", gateway.port, ssl=gateway.client_tls
    )
    try:
        writer.write(payload)
        async with asyncio.timeout(seconds):
            return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""
    finally:
        writer.transport.abort()


def post(key: str, body: Any, path: str = CHAT, *lines: str) -> bytes:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    fixed = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Authorization: Bearer {key}",
    ]
    if not any(line.startswith("Content-Length") for line in lines):
        fixed.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*fixed, *lines, "", ""]).encode() + data


def chat(script: str, **more: Any) -> dict[str, Any]:
    content = f"{script} {PROMPT}"
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


async def limited(gateway: Gateway, limits: Limits) -> str:
    key = await gateway.key()
    connection = await connect(gateway.database.settings("operator"))
    async with connection:
        await set_limits(connection, key_subject(apikeys.parse(key).id), limits, actor="tests")
    return key


async def of_requests(gateway: Gateway, found: Collected, key: str) -> None:
    """What is wrong with the request, or with who asks."""
    other = await gateway.key(scopes=["tokenize"])
    narrow = await gateway.key(models=["other"])
    asked = {
        "no JSON": post(key, f"{{{PROMPT}".encode()),
        "no object": post(key, [PROMPT]),
        "no model": post(key, {"messages": [PROMPT]}),
        "a wrong type": post(key, chat("say 1", stream=PROMPT)),
        "a name twice": post(key, b'{"model":"tiny","model":"%b"}' % PROMPT.encode()),
        "too deep": post(key, b'{"model":"tiny","stream":true,"stream_options":{},"x":'
                         + b'{"a":' * 400 + b"1" + b"}" * 401),
        "no such model": post(key, {**chat("say 1"), "model": "nobody's"}),
        "no such path": post(key, chat("say 1"), f"/v1/{PROMPT}"),
        "another method": post(key, b"", CHAT).replace(b"POST", b"GET", 1),
        "no key": post("", chat("say 1")),
        "a wrong key": post(key[:-1] + ("x" if key[-1] != "x" else "y"), chat("say 1")),
        "no scope": post(other, chat("say 1")),
        "not this model": post(narrow, chat("say 1")),
        "no JSON's type": post(key, chat("say 1"), CHAT, f"Content-Type: text/{PROMPT}"),
        "compressed": post(key, chat("say 1"), CHAT, "Content-Encoding: gzip"),
        "too large": post(key, b"", CHAT, "Content-Length: 99999999"),
        "a large head": post(key, b"", CHAT, "A: " + "a" * 40_000),
        "a header twice": post(key, b"", CHAT, f"Host: {PROMPT}"),
        "no HTTP": f"{PROMPT}\r\n\r\n".encode(),
        "a slow body": post(key, b"{", CHAT, "Content-Length: 10"),
    }  # fmt: skip
    for what, request in asked.items():
        found.add(what, await raw(gateway, request))


async def of_limits(gateway: Gateway, found: Collected) -> None:
    """What a key may not have any more."""
    body = chat("say 1", max_tokens=1)
    for what, limits in {
        "too often": Limits(requests_per_minute=1),
        "too much today": Limits(tokens_per_day=400),
    }.items():
        key = await limited(gateway, limits)
        answer = b""
        for _ in range(60):
            answer = await raw(gateway, post(key, body))
            if not answer.startswith(b"HTTP/1.1 200"):
                break
        found.add(what, answer)
    key = await limited(gateway, Limits(tokens_per_minute=50))
    found.add("more than the limit", await raw(gateway, post(key, body)))


async def of_keys(gateway: Gateway, found: Collected) -> None:
    """A key that was replaced before, and an address that shows too many that do not work."""
    own = "/v1/keys/self/rotate"
    key = await gateway.key()
    assert (await raw(gateway, post(key, {}, own))).startswith(b"HTTP/1.1 200")
    found.add("asked too soon", await raw(gateway, post(key, {}, own)))
    await asyncio.sleep(1)
    found.add("replaced before", await raw(gateway, post(key, {}, own)))
    await asyncio.sleep(1)
    found.add("a strange overlap", await raw(gateway, post(key, {"overlap_seconds": PROMPT}, own)))
    for _ in range(SOURCE_BURST):
        await raw(gateway, post(apikeys.generate().reveal(), {}, own))
    found.add("too many keys", await raw(gateway, post(apikeys.generate().reveal(), {}, own)))


async def of_engines(gateway: Gateway, found: Collected, key: str, engine: Engine) -> None:
    """What engines do wrong; one of them says things about itself that nobody should hear."""
    for script in ("status 400", "status 404", "status 401", "status 500", "status 503", "garbage"):
        found.add(script, await raw(gateway, post(key, chat(script))))
    found.add("a slow engine", await raw(gateway, post(key, chat("hang 0", stream=True))))
    found.add("no such path there", await raw(gateway, post(key, {"model": "bad"}, "/tokenize")))
    found.add("an engine that talks", await raw(gateway, post(key, {"model": "bad"})))
    slow = [asyncio.create_task(raw(gateway, post(key, chat("hold 1")))) for _ in range(8)]
    await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
    found.add("busy engines", next(task.result() for task in slow if task.done()))
    while not all(task.done() for task in slow):
        engine.release()
        await asyncio.sleep(0.05)


async def test_no_error_tells_of_what_is_behind_it(start: Starter, engine: Engine) -> None:
    talk = f'{{"detail": "Traceback (most recent call last): {ENGINE_SECRET}"}}'.encode()
    head = b"HTTP/1.1 404 Not Found\r\nServer: vllm\r\nContent-Length: %d\r\n\r\n" % len(talk)
    talking = RawEngine(lambda: [head + talk], Fuzz(1))
    await talking.start()
    engines = [
        {**upstreams(engine)[0], "models": [MODEL], "max_concurrent": 2},
        {"name": "talks", "url": f"http://127.0.0.1:{talking.port}", "models": ["bad"]},
    ]
    found = Collected()
    gateway = await start(
        engines=engines,
        timeouts={
            "body_read_seconds": 1.0,
            "upstream_first_byte_seconds": 1.5,
            "drain_seconds": 1,
        },
        routing={"breaker_failures": 1000, "retries": 0, "max_queued": 1},
        spool={"segment_kib": 64, "max_mib": 1},
        keys={"source_burst": SOURCE_BURST, "source_per_minute": 1},
    )
    try:
        key = await gateway.key(scopes=["inference", "tokenize"])
        await of_requests(gateway, found, key)
        await of_limits(gateway, found)
        await of_keys(gateway, found)
        await of_engines(gateway, found, key, engine)
        await of_the_drained(gateway, found, key)
        await of_the_ledger(gateway, found, key)
        await of_the_end(gateway, found, key, engine)
    finally:
        await talking.stop()
    assert set(codes_in_the_tree()) - NOT_ASKED_FOR <= found.codes()
    secrets = [key, key.rpartition("_")[2], PROMPT, ENGINE_SECRET, str(engine.port)]
    secrets += [str(talking.port), str(gateway.database.port), str(gateway.metrics_port)]
    for what, answer in found.answers.items():
        for name, pattern in FORBIDDEN.items():
            assert not re.search(pattern, answer), (what, name, answer)
        for secret in secrets:
            assert secret.encode() not in answer, (what, secret, answer)


async def of_the_drained(gateway: Gateway, found: Collected, key: str) -> None:
    """What a model says whose only engine an operator took out of rotation."""
    for drained in (True, False):
        async with await connect(gateway.database.settings("operator")) as connection:
            await set_drained(connection, "talks", drained=drained, reason="disk", actor="ada")
        if drained:
            await until(gateway, found, post(key, {"model": "bad"}), "engines_drained")


async def of_the_ledger(gateway: Gateway, found: Collected, key: str) -> None:
    """What cannot be checked, limited or recorded while the ledger is away."""
    short = await limited(gateway, Limits(requests_per_minute=100))
    unseen = await gateway.key()
    # Known, and nothing asked of its limits yet.
    listed = await raw(gateway, post(short, b"", "/v1/models").replace(b"POST", b"GET", 1))
    assert listed.startswith(b"HTTP/1.1 200")
    gateway.database.stop()
    try:
        await asyncio.sleep(1.0)
        found.add(
            "an unknown key without the ledger", await raw(gateway, post(unseen, chat("say 1")))
        )
        found.add("no share", await raw(gateway, post(short, chat("say 1"))))
        await until(gateway, found, post(key, chat("say 1")), "audit_unavailable")
    finally:
        gateway.database.start()


async def until(gateway: Gateway, found: Collected, request: bytes, code: str) -> None:
    """Ask until it is refused with this code."""
    for _ in range(500):
        answers = await asyncio.gather(*(raw(gateway, request) for _ in range(3)))
        for answer in answers:
            if code.encode() in answer:
                found.add(code, answer)
                return
    raise AssertionError(f"{code} never came; last {answers}")


async def of_the_end(gateway: Gateway, found: Collected, key: str, engine: Engine) -> None:
    """What a gateway that stops says to those it cannot wait for."""
    async with asyncio.timeout(60):
        while b"200 OK" not in await raw(gateway, post(key, chat("say 1"))):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    engine.calls.clear()
    cut = asyncio.create_task(raw(gateway, post(key, chat("hang 0"))))
    await engine.until_asked(1)
    await gateway.stop()
    found.add("stopped", await cut)
