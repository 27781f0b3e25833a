"""A real request through a gateway, as clients make it: TLS 1.3, trusting only our authority."""

import http.client
import json
import ssl
import time
from pathlib import Path
from typing import Any

from fedctl.errors import NotHealthy
from inventory.model import Federation, Node

PROMPT = "Say something."
MAX_TOKENS = 8


def ready(federation: Federation, node: Node, ca: Path, seconds: float = 5.0) -> str:
    """Why the gateway on `node` is not ready; empty when it is."""
    try:
        status, body = _request(federation, node, ca, "GET", "/health/ready", seconds=seconds)
    except (OSError, http.client.HTTPException) as error:
        return f"{node.name}: {error}"
    return "" if status == 200 else f"{node.name}: {status} {body.decode(errors='replace')[:300]}"


def complete(federation: Federation, node: Node, ca: Path, key: str) -> dict[str, Any]:
    """One short chat completion: model, tokens, milliseconds. Raises NotHealthy."""
    body = {
        "model": federation.inference.served_model_name,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": MAX_TOKENS,
    }
    began = time.monotonic()
    try:
        status, answer = _request(
            federation, node, ca, "POST", "/v1/chat/completions", body=body, key=key, seconds=120
        )
        value = json.loads(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotHealthy(f"the gateway on {node.name} gave no completion: {error}") from error
    if status != 200:
        said = value.get("error", {}).get("message") if isinstance(value, dict) else None
        raise NotHealthy(
            f"the gateway on {node.name} answered {status}: {said or answer[:300]!r}",
            f"fedctl logs gateway --on {node.name}",
        )
    usage = value.get("usage") or {}
    return {
        "gateway": node.name,
        "model": value.get("model"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "milliseconds": round((time.monotonic() - began) * 1000),
    }


def _request(
    federation: Federation,
    node: Node,
    ca: Path,
    method: str,
    path: str,
    *,
    seconds: float,
    body: dict[str, Any] | None = None,
    key: str = "",
) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection(
        str(node.address), federation.ports.gateway, timeout=seconds, context=context
    )
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        content = json.dumps(body) if body is not None else None
        connection.request(method, path, body=content, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
