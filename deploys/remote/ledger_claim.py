"""Agree with the other data nodes on which of them founds the replicated database.

Argument: {"url", "prefix", "node", "order": [NAME], "data", "binaries", "certificate", "authority",
"key"}. Every node says in etcd whether it has a cluster already; the one that does is the founder,
and the others copy from it. When none does, it is the first in `order`. Two different clusters are
refused: one of them would be lost.
"""

import base64
import http.client
import json
import os
import re
import ssl
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0
CLAIM_SECONDS = 30.0


def main(argument: Any) -> None:
    claims, founder = argument["prefix"] + "claims/", argument["prefix"] + "founder"
    if get(argument, argument["prefix"] + "ledger/initialize") or get(argument, founder):
        return
    put(argument, claims + argument["node"], json.dumps(cluster(argument)))
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        heard = {
            name: json.loads(text)
            for name in argument["order"]
            if (text := get(argument, claims + name)) is not None
        }
        missing = [name for name in argument["order"] if name not in heard]
        if not missing:
            break
        if time.monotonic() > deadline:
            raise SystemExit(
                f"{', '.join(missing)} did not say whether the ledger's data is there: "
                "the first deploy of the ledger must reach every data node"
            )
        time.sleep(0.3)
    chosen = choose(argument["order"], heard)
    # Whoever writes first decides; all decide the same.
    put(argument, founder, chosen)


def choose(order: Any, heard: Any) -> str:
    having = {name: heard[name] for name in order if heard[name]["system"]}
    systems = {claim["system"] for claim in having.values()}
    if len(systems) > 1:
        raise SystemExit(
            f"{' and '.join(having)} each have a database of their own: keep the right one, and "
            "move the folder of the other away (the deploy deletes nothing)"
        )
    if not having:
        return str(order[0])
    # Copies of one cluster: the one that went furthest, the one that took writes among equals.
    return str(max(having, key=lambda name: having[name]["rank"]))


def cluster(argument: Any) -> Any:
    """{"system": IDENTIFIER or "", "rank": [TIMELINE, LSN, WAS PRIMARY]} of the folder here."""
    if not os.path.exists(os.path.join(argument["data"], "PG_VERSION")):
        return {"system": "", "rank": []}
    done = subprocess.run(
        [os.path.join(argument["binaries"], "pg_controldata"), argument["data"]],
        env={"LC_ALL": "C"}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    text = done.stdout.decode()

    def field(name: str) -> str:
        found = re.search(rf"^{re.escape(name)}: +(.*)$", text, re.MULTILINE)
        if found is None:
            raise SystemExit(f"pg_controldata says nothing about {name!r}")
        return found[1]

    high, low = field("Latest checkpoint location").split("/")
    primary = field("Database cluster state") in ("in production", "shut down")
    rank = [
        int(field("Latest checkpoint's TimeLineID")),
        (int(high, 16) << 32) + int(low, 16),
        int(primary),
    ]
    return {"system": field("Database system identifier"), "rank": rank}


def get(argument: Any, key: str) -> Any:
    found = ask(argument, "/v3/kv/range", {"key": encoded(key)}).get("kvs", [])
    return base64.b64decode(found[0].get("value", "")).decode() if found else None


def put(argument: Any, key: str, value: str) -> None:
    ask(argument, "/v3/kv/put", {"key": encoded(key), "value": encoded(value)})


def ask(argument: Any, path: str, body: Any) -> Any:
    context = ssl.create_default_context(cafile=argument["authority"])
    context.load_cert_chain(argument["certificate"], argument["key"])
    place = urlsplit(argument["url"])
    connection = http.client.HTTPSConnection(
        place.hostname, place.port, timeout=ANSWER_SECONDS, context=context
    )
    try:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise SystemExit(f"etcd on this node does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"etcd refused {path}: {text[:300]}")
    return json.loads(text)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
