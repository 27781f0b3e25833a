"""Chat completions through the gateways, streamed. The next gateway is asked as long as nothing of
an answer was heard; after that an answer is whole, or it failed.
"""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fedctl.chat_words import LOOK, failure_of, storable, worth_another
from fedctl.errors import ChatFailed, NoGateway
from inventory.model import Federation, Role
from trust.tls import client_context

CONNECT_SECONDS = 5.0
# Longer than any gateway waits for an engine: the gateway's own word is the better one.
SILENCE_SECONDS = 180.0
MAX_LINE_BYTES = 8 << 20
MAX_BODY_BYTES = 1 << 20
DONE = b"[DONE]"
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A gateway's name and where it listens."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class Answer:
    """A whole answer. `usage` as the engine counted, empty when it did not say."""

    gateway: str
    model: str
    text: str
    finish_reason: str | None
    usage: dict[str, Any]


class Client:
    """Asks gateways, in their order. `key` is the text of an API key."""

    def __init__(self, places: Sequence[Place], authority: Path, key: str) -> None:
        self._places, self._key = tuple(places), key
        self._context = client_context(authority)

    def models(self) -> tuple[str, ...]:
        """The models the key may use; raises ChatFailed."""

        def listed(place: Place) -> tuple[str, ...]:
            with self._asked(place, "GET", "/v1/models") as answer:
                value = json.loads(answer.read(MAX_BODY_BYTES))
                return tuple(str(entry["id"]) for entry in value["data"])

        return self._first(listed)

    def ask(self, body: dict[str, Any], hear: Callable[[str], None]) -> Answer:
        """The answer to `body`, told to `hear` piece by piece; raises ChatFailed.

        KeyboardInterrupt passes through; the connection is closed then, which stops the engine.
        """
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        content = json.dumps(asked).encode()

        def answered(place: Place) -> Answer:
            heard = _Heard(hear)
            try:
                with self._asked(place, "POST", "/v1/chat/completions", content) as answer:
                    for value in _events(answer):
                        heard.take(value)
            except _Elsewhere as error:
                if heard.parts:
                    raise ChatFailed(f"the answer broke off: {error.failure}", LOOK) from error
                raise
            text, model = "".join(heard.parts), heard.model or str(body["model"])
            return Answer(place.name, model, text, heard.finish_reason, heard.usage)

        return self._first(answered)

    def _first(self, step: Callable[[Place], T]) -> T:
        """What the first gateway says that says something worth having."""
        failure: ChatFailed | None = None
        for place in self._places:
            try:
                return step(place)
            except _Elsewhere as error:
                # That one is away says less than what another one refused.
                if failure is None or isinstance(failure, NoGateway):
                    failure = error.failure
        raise failure or NoGateway("the inventory has no gateway", "fedctl inventory show")

    @contextmanager
    def _asked(
        self, place: Place, method: str, path: str, content: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """A 200 of one gateway; raises _Elsewhere, or ChatFailed when no other will do better."""
        connection = http.client.HTTPSConnection(
            place.address, place.port, timeout=CONNECT_SECONDS, context=self._context
        )
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.connect()
            connection.sock.settimeout(SILENCE_SECONDS)
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                said = answer.read(MAX_BODY_BYTES)
                failure = failure_of(answer.status, said, answer.headers.get("retry-after"))
                if worth_another(answer.status, said):
                    raise _Elsewhere(failure)
                raise failure
            yield answer
        except ssl.SSLCertVerificationError as error:
            told = f"{place.name} does not prove to be of this federation: {error.verify_message}"
            raise _Elsewhere(NoGateway(told, "fedctl certs list")) from error
        except (OSError, http.client.HTTPException) as error:
            told = f"{place.name} cannot be reached: {error or type(error).__name__}"
            raise _Elsewhere(NoGateway(told, "fedctl status")) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = f"{place.name} answered something that is no answer"
            raise _Elsewhere(ChatFailed(told, LOOK)) from error
        finally:
            connection.close()


class _Elsewhere(Exception):
    """This gateway gave no answer; another one may."""

    def __init__(self, failure: ChatFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class _Heard:
    """What came of an answer so far."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self.parts: list[str] = []
        self.model = ""
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] = {}

    def take(self, value: dict[str, Any]) -> None:
        """One event of a stream."""
        if value.get("error"):
            raise _Elsewhere(failure_of(None, json.dumps(value).encode()))
        self.model = value.get("model") or self.model
        self.usage = value.get("usage") or self.usage
        for choice in value.get("choices", ())[:1]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if text := (choice.get("delta") or {}).get("content"):
                self.parts.append(storable(text))
                self._hear(self.parts[-1])


def places_of(federation: Federation) -> tuple[Place, ...]:
    """The federation's gateways."""
    port = federation.ports.gateway
    return tuple(
        Place(node.name, str(node.address), port) for node in federation.with_role(Role.GATEWAY)
    )


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The events of a stream until its end; raises _Elsewhere when it ends before."""
    while line := answer.readline(MAX_LINE_BYTES):
        name, _, data = line.strip().partition(b":")
        if name != b"data":
            continue
        if data.strip() == DONE:
            return
        yield json.loads(data)
    raise _Elsewhere(ChatFailed("the stream ended without its end", LOOK))
