"""Write one key into the data nodes' etcd. Argument: {"url", "entry", "value", "certificate",
"authority", "key"}; `key` is where the running etcd finds its key.
"""

import base64
import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 10.0


def main(argument: Any) -> None:
    context = ssl.create_default_context(cafile=argument["authority"])
    context.load_cert_chain(argument["certificate"], argument["key"])
    place = urlsplit(argument["url"])
    connection = http.client.HTTPSConnection(
        place.hostname, place.port, timeout=ANSWER_SECONDS, context=context
    )
    body = {"key": encoded(argument["entry"]), "value": encoded(argument["value"])}
    try:
        connection.request("POST", "/v3/kv/put", json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise SystemExit(f"etcd on this node does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"etcd refused to write {argument['entry']}: {text[:300]}")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
