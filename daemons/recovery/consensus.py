"""Have the data nodes forget which cluster they agreed on, before another one is put in its place.

etcd's key-value API by HTTP and JSON, over TLS with this node's certificate. Nothing else of etcd's
is touched, and the members stay members.
"""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daemons.recovery.errors import ConsensusFailed

ANSWER_SECONDS = 10.0
CERTIFICATE = Path("/etc/federation/tls/node.pem")
AUTHORITY = Path("/etc/federation/tls/ca.pem")


def forget(url: str, prefix: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Delete everything below `prefix`; how much that was. Raises ConsensusFailed."""
    if not prefix.startswith("/") or not prefix.endswith("/") or len(prefix) < 3:
        raise ConsensusFailed(f"{prefix!r} is no prefix of ours")
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.load_cert_chain(CERTIFICATE, f"{environment['CREDENTIALS_DIRECTORY']}/tls.key")
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    body = json.dumps({"key": _encoded(prefix), "range_end": _encoded(end)})
    place = urlsplit(url)
    connection = http.client.HTTPSConnection(
        place.hostname or "", place.port, timeout=ANSWER_SECONDS, context=context
    )
    try:
        connection.request("POST", "/v3/kv/deleterange", body)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ConsensusFailed(f"etcd at {url} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConsensusFailed(f"etcd at {url} refused: {text[:300]}")
    return {"deleted": int(json.loads(text).get("deleted", 0))}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
