"""Parts of a simulated node that several roles' tests need."""

import hashlib
from typing import Any

from tests.ops.harness import SimulatedNode


def with_users(node: SimulatedNode) -> SimulatedNode:
    """`node`, where sysusers.d files make users."""
    texts: dict[str, str] = {}

    def state(argument: Any) -> Any:
        text = texts.get(argument["path"])
        declared = {line.split()[1] for line in (text or "").splitlines() if line[:2] == "u "}
        return {"users": [name for name in argument["users"] if name in declared], "text": text}

    def create(argument: Any) -> None:
        texts[argument["path"]] = argument["text"]

    node.scripts |= {"system_users_state": state, "system_users_create": create}
    return node


def with_secrets(node: SimulatedNode, sealed: dict[str, str]) -> SimulatedNode:
    """`node`, which seals secrets into `sealed`, by path, and knows them again by their digest."""

    def state(argument: Any) -> Any:
        text = sealed.get(argument["path"])
        if text is None:
            return {"state": "absent"}
        same = hashlib.sha256(text.encode()).hexdigest() == argument["sha256"]
        return {"state": "same" if same else "different"}

    def seal(argument: Any) -> None:
        sealed[argument["path"]] = argument["content"]

    node.scripts |= {"secret_state": state, "secret_seal": seal}
    return node
