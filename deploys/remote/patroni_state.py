"""What this node's Patroni says of itself; null while it does not answer.

Argument: {"url", "certificate", "authority", "key"}; `key` is where the running Patroni finds its
key. Returns {"state", "role", "pending_restart", "replicating"}.
"""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0


def main(argument: Any) -> Any:
    try:
        context = ssl.create_default_context(cafile=argument["authority"])
        context.load_cert_chain(argument["certificate"], argument["key"])
        place = urlsplit(argument["url"])
        connection = http.client.HTTPSConnection(
            place.hostname, place.port, timeout=ANSWER_SECONDS, context=context
        )
        try:
            connection.request("GET", "/patroni")
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return {
        "state": found.get("state", ""),
        "role": found.get("role", ""),
        "pending_restart": bool(found.get("pending_restart")),
        "replicating": found.get("replication_state", ""),
    }
