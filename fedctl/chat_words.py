"""The words of a chat: what a model says made safe for a terminal, what went wrong in plain words.

Pure. What comes from a model or a server is text of strangers: a terminal would obey the control
characters in it (move the cursor, set the title, answer back as if typed), and some characters
reorder what is shown. They are shown as symbols instead; lines and tabs stay what they are.
"""

import json
from collections.abc import Mapping
from typing import Any

from fedctl.errors import ChatFailed

# C0 and DEL have pictures; C1 and what changes the direction of text are named by number.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_REORDERING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_HARMLESS = {
    **_PICTURES,
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"<{code:04X}>" for code in (*range(0x80, 0xA0), *_REORDERING)},
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}

NEW_KEY = "fedctl keys issue NAME makes one; --key KEY --keep-key replaces one that is kept"
LATER = "try again in a moment"
LOOK = "fedctl upstream list shows the engines, fedctl logs gateway what happened"
SENTENCES: Mapping[str, tuple[str, str]] = {
    "invalid_api_key": ("the gateways do not accept this key", NEW_KEY),
    "missing_scope": ("this key may not chat: it lacks the scope inference", NEW_KEY),
    "insufficient_permissions": (
        "this key may not use the model",
        "another one: fedctl chat MODEL",
    ),
    "model_not_found": (
        "no engine serves this model",
        "/model or fedctl upstream list shows which",
    ),
    "unsupported_endpoint": ("this model does not chat", "another one: fedctl chat MODEL"),
    "request_too_large": ("the conversation has become too long", "begin a new one: /clear"),
    "rate_limit_exceeded": ("a limit of this key or its tenant is reached", LATER),
    "too_many_failures": ("too many keys that do not work came from this address", LATER),
    "insufficient_quota": (
        "the budget of tokens of this key or its tenant is used up",
        "fedctl tenants limits shows and changes it",
    ),
    "request_exceeds_limit": (
        "this may cost more tokens than the whole limit of the key allows",
        "ask for less: --max-tokens 200",
    ),
    "engines_busy": ("every engine is busy, and so is the queue", LATER),
    "engines_drained": ("the model's engines are taken out of service for now", LOOK),
    "ledger_unavailable": ("the gateways cannot check keys now", "fedctl ledger status"),
    "limits_unavailable": ("the gateways cannot check the limits of this key now", LATER),
    "audit_unavailable": ("the gateways cannot record requests now", "fedctl doctor"),
    "gateway_stopping": ("the gateway stopped before the answer was whole", LATER),
    "upstream_busy": ("the engine is busy", LATER),
    "upstream_failed": ("the engine failed", LOOK),
    "upstream_timeout": ("the engine took too long", LOOK),
}
# Another gateway may do better: these say something of this one, or of its moment.
ELSEWHERE = frozenset(
    {
        "engines_busy",
        "ledger_unavailable",
        "limits_unavailable",
        "audit_unavailable",
        "gateway_stopping",
        "upstream_busy",
        "upstream_failed",
        "upstream_timeout",
    }
)


def harmless(text: str) -> str:
    """`text` with nothing in it that a terminal would obey; piece by piece is as good as whole."""
    return text.translate(_HARMLESS)


def storable(text: str) -> str:
    """`text` with nothing in it that UTF-8 cannot write (half of a surrogate pair)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def failure_of(status: int | None, body: bytes, retry_after: str | None = None) -> ChatFailed:
    """A refusal in plain words, with what to do. `status` None: it came inside a stream."""
    error = _error_in(body)
    code, message = error.get("code"), harmless(str(error.get("message") or ""))[:500]
    if isinstance(code, str) and code in SENTENCES:
        sentence, advice = SENTENCES[code]
        if advice == LATER and retry_after and retry_after.isdigit():
            advice = f"try again in {retry_after} s"
        return ChatFailed(sentence, advice)
    if status is not None and 400 <= status < 500:
        return ChatFailed(f"the request was refused: {message or f'status {status}'}", "")
    told = f": {message}" if message else ""
    where = "in the middle of the answer" if status is None else f"(status {status})"
    return ChatFailed(f"the gateway failed {where}{told}", LOOK)


def worth_another(status: int, body: bytes) -> bool:
    """Whether another gateway may answer what this one refused."""
    code = _error_in(body).get("code")
    return code in ELSEWHERE or (status >= 500 and code not in SENTENCES)


def _error_in(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}
