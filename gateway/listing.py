"""Models, as engines list them and as clients are told of them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.engine import Engine
from gateway.seams import Principal
from gateway.upstream_errors import UpstreamFailed

# What a client may know of a model; vLLM's own entries also tell paths on its disk.
SHOWN = ("id", "object", "created", "owned_by", "max_model_len")
PLAIN = (str, int, float)  # what is nested may be nested too deeply to be written again


def read_listing(body: bytes) -> dict[str, dict[str, Any]]:
    """The models in an answer of `/v1/models`, by name; raises UpstreamFailed when it is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamFailed(reason="not_json") from None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise UpstreamFailed(reason="not_json")
    return {
        entry["id"]: {key: entry[key] for key in SHOWN if isinstance(entry.get(key), PLAIN)}
        for entry in data
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }


def models_for(
    principal: Principal, engines: Sequence[Engine], aliases: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What engines that are up list, as far as the key may use it; each model once."""
    found: dict[str, dict[str, Any]] = {}
    for engine in engines:
        for name, entry in engine.listed.items():
            if engine.up and engine.serves(name) and principal.may_use(name):
                found.setdefault(name, entry)
    for alias, real in aliases.items():
        for engine in engines:
            if engine.up and engine.serves(real) and principal.may_use(alias):
                entry = engine.listed.get(real, {"object": "model"})
                found.setdefault(alias, {**entry, "id": alias})
    return list(found.values())


def serving(engines: Sequence[Engine]) -> dict[str, tuple[Engine, ...]]:
    """Who serves each model (its own name) that is served at all."""
    names = {name for engine in engines for name in (engine.config.models or engine.listed)}
    return {name: tuple(each for each in engines if each.serves(name)) for name in names}


def longest_context(model: str, engines: Iterable[Engine]) -> int | None:
    """How long prompt and answer of `model` (its own name) can be together, in tokens, where
    engines tell."""
    known = [engine.listed.get(model, {}).get("max_model_len") for engine in engines]
    lengths = [value for value in known if isinstance(value, int) and value > 0]
    return max(lengths, default=None)
