"""What a request can cost at most, before any engine has seen it. Pure.

A token is at least one byte of text in every tokenizer an engine of ours uses (byte-level BPE,
SentencePiece with byte fallback), and a body's JSON spells every message with more bytes of syntax
than a chat template adds tokens for it. So the body's length bounds the prompt, but for what the
template adds once: `TEMPLATE_TOKENS`. What an engine counts in the end replaces the bound; images
named by address instead of sent may cost more, and are charged when they did.
"""

from collections.abc import Mapping
from typing import Any

TEMPLATE_TOKENS = 64
BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
CHOICES = ("n", "best_of")


def completion_bound(body: Mapping[str, Any]) -> int | None:
    """The most tokens the answer to `body` can have by the client's own word; None without one.

    What is no bound (a string, a negative number) is left to the engine to refuse.
    """
    bounds = [value for name in BOUNDS if (value := _count(body.get(name))) is not None]
    return max(bounds) * answers(body) if bounds else None


def answers(body: Mapping[str, Any]) -> int:
    """How many answers `body` asks for: choices, for each prompt where there are several."""
    prompts, each = body.get("prompt"), 1
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        each = len(prompts)
    return max((_count(body.get(name)) or 1) for name in CHOICES) * each


def tokens(
    prompt_bytes: int,
    completion: int | None,
    context: int | None,
    assumed_completion: int,
    wanted: int = 1,
) -> int:
    """The bound on prompt and completion together.

    `context` is the model's whole length, where its engine tells; without a bound from the client
    each of the `wanted` answers may be as long as that, or `assumed_completion` where nobody knows.
    """
    if completion is None:
        completion = (assumed_completion if context is None else context) * wanted
    return prompt_bytes + TEMPLATE_TOKENS + completion


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1 << 40:
        return None
    return value
