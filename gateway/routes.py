"""The paths of OpenAI's interface that are relayed, and what each of them means. Pure.

An allow-list: an engine has more under `/v1` (vLLM loads LoRA adapters there) than clients may
have.
"""

from dataclasses import dataclass
from typing import Literal

Ends = Literal["done", "responses", "messages", "never"]

INFERENCE = "inference"
TOKENIZE = "tokenize"


@dataclass(frozen=True, slots=True)
class Route:
    """One relayed path. `name` labels metrics and audit; `ends` is how its streams end: `[DONE]`,
    an event `response.completed`, an event `message_stop`, or there are none."""

    path: str
    name: str
    ends: Ends
    scope: str = INFERENCE
    prompt: str = "messages"  # the field in which the prompt begins
    usage: bool = True  # whether an answer without token counts is unusual

    @property
    def asks_for_usage(self) -> bool:
        """Whether `stream_options.include_usage` is this path's way to hear token counts."""
        return self.ends == "done"


ROUTES: dict[str, Route] = {
    route.path: route
    for route in (
        Route("/v1/chat/completions", "chat_completions", "done"),
        Route("/v1/completions", "completions", "done", prompt="prompt"),
        Route("/v1/embeddings", "embeddings", "never", prompt="input"),
        Route("/v1/responses", "responses", "responses", prompt="input"),
        Route("/v1/messages", "messages", "messages"),
        Route("/tokenize", "tokenize", "never", scope=TOKENIZE, usage=False),
    )
}
