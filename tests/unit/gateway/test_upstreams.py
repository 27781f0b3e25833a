"""Which engine serves which model."""

from typing import Any

import pytest

from gateway.errors import NotFound, UpstreamFailed
from gateway.metrics import GatewayMetrics
from gateway.seams import Principal
from gateway.settings import Upstream
from gateway.upstreams import Upstreams, read_listing

LISTING = b'{"object":"list","data":[{"id":"a","object":"model","root":"/disk"},{"id":"b"}]}'


class Answers:
    """A transport in memory: an answer or an error for each URL."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers

    async def get(self, url: str, seconds: float, max_bytes: int) -> bytes:
        for start, body in self.answers.items():
            if url.startswith(start):
                return body
        raise UpstreamFailed(reason="connect")


def upstream(name: str, *models: str) -> Upstream:
    return Upstream(name=name, url=f"https://{name}:8000", models=models)


def made(answers: dict[str, bytes], *configs: Upstream) -> Upstreams:
    metrics = GatewayMetrics(config.name for config in configs)
    transport: Any = Answers(answers)
    return Upstreams(configs, transport, metrics, 1.0)


def key(models: frozenset[str] | None) -> Principal:
    return Principal("k", "t", frozenset({"inference"}), models)


async def test_the_first_engine_that_is_up_is_chosen() -> None:
    upstreams = made({"https://two": LISTING}, upstream("one", "a"), upstream("two", "a"))
    await upstreams.look()
    assert upstreams.choose("a").config.name == "two"
    assert upstreams.any_up


async def test_a_configured_model_of_a_dead_engine_is_still_routed() -> None:
    upstreams = made({}, upstream("one", "a"))
    await upstreams.look()
    assert upstreams.choose("a").config.name == "one"
    assert not upstreams.any_up and upstreams.models(key(None)) == []


async def test_an_engine_without_configured_models_serves_what_it_lists() -> None:
    upstreams = made({"https://one": LISTING}, upstream("one"))
    with pytest.raises(NotFound):
        upstreams.choose("a")
    await upstreams.look()
    assert upstreams.choose("b").chat_url == "https://one:8000/v1/chat/completions"
    with pytest.raises(NotFound, match="c"):
        upstreams.choose("c")


async def test_a_key_sees_its_models_only_and_no_paths() -> None:
    upstreams = made({"https://one": LISTING}, upstream("one"), upstream("two", "a"))
    await upstreams.look()
    assert upstreams.models(key(frozenset({"a"}))) == [{"id": "a", "object": "model"}]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 1}', b"<html>"])
def test_a_listing_that_is_none_is_an_engine_that_is_down(body: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        read_listing(body)


def test_strange_entries_are_left_out() -> None:
    assert read_listing(b'{"data":[1,{"id":2},{"id":"x"}]}') == {"x": {"id": "x"}}
