"""What the data nodes agreed on, as this node's etcd has it; null while it cannot be asked.

Argument: {"url", "prefix", "certificate", "authority", "key"}; `key` is where the running etcd
finds its key. Returns {KEY: TEXT} of everything below `prefix`, its name left off.
"""

import base64
import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0


def main(argument: Any) -> Any:
    prefix = argument["prefix"]
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    body = {"key": encoded(prefix), "range_end": encoded(after)}
    try:
        context = ssl.create_default_context(cafile=argument["authority"])
        context.load_cert_chain(argument["certificate"], argument["key"])
        place = urlsplit(argument["url"])
        connection = http.client.HTTPSConnection(
            place.hostname, place.port, timeout=ANSWER_SECONDS, context=context
        )
        try:
            connection.request("POST", "/v3/kv/range", json.dumps(body))
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if answer.status != 200:
        return None
    return {
        decoded(entry["key"])[len(prefix) :]: decoded(entry.get("value", ""))
        for entry in found.get("kvs", [])
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()
