"""The official clients, real vLLM behind both gateways: answers, and errors as their own types."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from inventory.model import Node, Role
from tests.fleet.clients import openai_client
from tests.fleet.test_1_first_run import complete, sql, stream
from tests.support.fleet import Fleet, wait_for
from tests.support.node import played, raised_as_documented

MESSAGES: Any = [{"role": "user", "content": "Say something."}]
SCHEMA: Any = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "switch_light",
        "parameters": {
            "type": "object",
            "properties": {"on": {"type": "boolean"}},
            "required": ["on"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Keys:
    """Keys of this module: one for everything, one for another model, two that may ask once."""

    usual: str
    narrow: str
    once: str
    once_more: str


@pytest.fixture(scope="module")
def keys(fleet: Fleet) -> Keys:
    def issued(name: str, *options: str) -> str:
        text: str = fleet.json("keys", "issue", name, *options)["key"]
        return text

    limit = ("--limit", "requests-per-minute=1")
    return Keys(
        issued("clients"),
        issued("clients-narrow", "--model", "another"),
        issued("clients-once", *limit),
        issued("clients-once-more", *limit),
    )


@pytest.fixture(scope="module", params=[0, 1], ids=["first", "second"])
def gateway(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Node]:
    yield fleet.one(Role.GATEWAY, request.param)


def test_chat_stream_and_schema(fleet: Fleet, gateway: Node, keys: Keys) -> None:
    model = fleet.federation.inference.served_model_name
    with openai_client(fleet, gateway, keys.usual) as client:
        assert complete(client, model) > 0
        assert stream(client, model) > 0
        answer = client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=64,
            response_format={"type": "json_schema",
                             "json_schema": {"name": "answer", "schema": SCHEMA}},
        ).choices[0].message.content  # fmt: skip
        assert json.loads(answer or "")["answer"] in ("yes", "no")


def test_a_tool_is_called_with_the_arguments_it_takes(
    fleet: Fleet, gateway: Node, keys: Keys
) -> None:
    model = fleet.federation.inference.served_model_name
    with openai_client(fleet, gateway, keys.usual) as client:
        (call,) = client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=400, tools=[TOOL],
            tool_choice={"type": "function", "function": {"name": "switch_light"}},
        ).choices[0].message.tool_calls or ()  # fmt: skip
        assert call.function.name == "switch_light"
        assert isinstance(json.loads(call.function.arguments)["on"], bool)


# Where it is not installed yet, npm asks the machine's registry for it.
def test_the_official_node_client(fleet: Fleet, gateway: Node, keys: Keys) -> None:
    model = fleet.federation.inference.served_model_name
    limited = fleet.json(
        "keys", "issue", f"node-{gateway.name}", "--limit", "requests-per-minute=1"
    )["key"]
    url = f"https://{gateway.address}:{fleet.federation.ports.gateway}/v1"
    authority = fleet.home.authority / "ca.pem"
    found = asyncio.run(
        played(url, authority, model, keys.usual, keys.narrow, limited, "Say a lot.")
    )
    assert found["models"] == [model]
    assert 0 < found["chat"]["tokens"] <= 8 and found["chat"]["request"]
    assert found["stream"]["pieces"] > 0 and found["stream"]["finished"]
    (call,) = found["tools"]["tool_calls"]
    assert call["function"]["name"] == "switch_light"
    assert isinstance(json.loads(call["function"]["arguments"])["on"], bool)
    assert json.loads(found["schema"])["answer"] in ("yes", "no")
    assert found["embeddings"]["type"] in ("NotFoundError", "BadRequestError")
    assert found["embeddings"]["code"] and found["left"]
    raised_as_documented(found)
    newest = (
        f"SELECT count(*) FROM ledger.requests WHERE stream AND node = '{gateway.name}' "  # noqa: S608 - of this file
        "AND outcome = 'client_gone' AND started_at > now() - interval '2 minutes'"
    )
    wait_for(lambda: int(sql(fleet, newest)) >= 1, 60, "the end of a request that was left")


def test_embeddings_are_refused_clearly_by_a_model_that_has_none(
    fleet: Fleet, gateway: Node, keys: Keys
) -> None:
    with openai_client(fleet, gateway, keys.usual) as client, pytest.raises(
        (openai.NotFoundError, openai.BadRequestError)
    ) as caught:  # fmt: skip
        model = fleet.federation.inference.served_model_name
        client.embeddings.create(model=model, input="text")
    assert caught.value.code


def test_errors_are_the_clients_own_exceptions(fleet: Fleet, gateway: Node, keys: Keys) -> None:
    model = fleet.federation.inference.served_model_name

    def ask(key: str, **changes: Any) -> None:
        with openai_client(fleet, gateway, key) as client:
            client.with_options(timeout=changes.pop("timeout", 60)).chat.completions.create(
                **{"model": model, "messages": MESSAGES, "max_tokens": 8, **changes}
            )

    once = keys.once if gateway == fleet.one(Role.GATEWAY) else keys.once_more
    ask(once)
    for kind, key, changes in (
        (openai.AuthenticationError, "fed_nothing", {}),
        (openai.PermissionDeniedError, keys.narrow, {}),
        (openai.NotFoundError, keys.usual, {"model": "nobody's"}),
        (openai.RateLimitError, once, {}),
        (openai.BadRequestError, keys.usual, {"n": 1000}),
        (openai.BadRequestError, keys.usual, {"temperature": "hot"}),  # vLLM's own refusal
        (openai.APITimeoutError, keys.usual, {"timeout": 0.001}),
    ):
        with pytest.raises(kind):
            ask(key, **changes)


def test_who_leaves_a_stream_is_recorded_with_what_it_used(
    fleet: Fleet, gateway: Node, keys: Keys
) -> None:
    model = fleet.federation.inference.served_model_name
    with openai_client(fleet, gateway, keys.usual) as client:
        answer = client.chat.completions.with_raw_response.create(
            model=model, messages=MESSAGES, max_tokens=400, stream=True,
            extra_body={"ignore_eos": True},
        )  # fmt: skip
        chunks = answer.parse()
        next(iter(chunks))
        chunks.close()
    query = (
        "SELECT outcome FROM ledger.requests WHERE stream AND node = "  # noqa: S608 - of this file
        f"'{gateway.name}' ORDER BY started_at DESC LIMIT 1"
    )
    wait_for(lambda: sql(fleet, query) == "client_gone", 60, "the end of a request that was left")
