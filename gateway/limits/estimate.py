"""What a request can cost at most, before any engine has seen it. Pure.

A token is at least one byte of text in every tokenizer an engine of ours uses (byte-level BPE,
SentencePiece with byte fallback), and a body's JSON spells every message with more bytes of syntax
than a chat template adds tokens for it. So the body's length bounds the prompt, but for what the
template adds once: `TEMPLATE_TOKENS`. What an engine counts in the end replaces the bound; images
named by address instead of sent may cost more, and are charged when they did.
"""

from typing import Any, Final

TEMPLATE_TOKENS: Final = 64
MOST_COUNTED: Final = 1 << 40
BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
CHOICES: Final = ("n", "best_of")


def completion_bound(body: dict[str, Any], wanted: int) -> int | None:
    """The most tokens the `wanted` answers to `body` can have by the client's own word; None
    without one.

    What is no bound (a string, a negative number) is left to the engine to refuse.
    """
    most = 0
    for name in BOUNDS:
        most = _larger(most, body.get(name))
    return most * wanted if most else None


def answers(body: dict[str, Any]) -> int:
    """How many answers `body` asks for: choices, for each prompt where there are several."""
    choices = 1
    for name in CHOICES:
        choices = _larger(choices, body.get(name))
    prompts = body.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        return choices * len(prompts)
    return choices


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


def _larger(most: int, value: Any) -> int:
    """`value` where it is a count, and a larger one."""
    if value is None or isinstance(value, bool) or not isinstance(value, int):
        return most
    return value if most < value <= MOST_COUNTED else most
