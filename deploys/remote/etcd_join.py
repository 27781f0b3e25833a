"""Say how this machine's etcd will join: a new cluster, or the one the other members have.

Argument: {"data", "file", "name", "peer", "others": [{"name", "client", "peer"}], "certificate",
"authority", "key"}; `client` and `peer` are URLs, `key` the encrypted credential. Writes `file`, an
environment file for the unit. An existing cluster forgets the member this machine used to be (its
data is gone) and learns the new one, by vote of the others.

Three answers are told apart: a member answers; nothing listens there yet (or it waits for a
majority, as on a first start); the machine is silent. In the last case nothing is done: were there
a cluster behind the silence, a new one beside it would be a second majority.
"""

import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
JOIN_SECONDS = 40.0


def main(argument: Any) -> None:
    if os.path.isdir(os.path.join(argument["data"], "member")):
        return
    context = tls(argument)
    found = {other["name"]: look(other["client"], context) for other in argument["others"]}
    answering = [o for o in argument["others"] if found[o["name"]] == "answers"]
    if answering:
        cluster, state = join(argument, answering[0]["client"], context), "existing"
    else:
        silent = [name for name, how in found.items() if how == "silent"]
        if silent:
            raise SystemExit(
                f"cannot tell whether there is an etcd cluster: {', '.join(silent)} does not answer"
                " at all. Start it, or take the role data from it in the inventory."
            )
        cluster, state = {o["name"]: o["peer"] for o in argument["others"]}, "new"
        cluster[argument["name"]] = argument["peer"]
    members = ",".join(f"{name}={url}" for name, url in sorted(cluster.items()))
    write(
        argument["file"],
        f"ETCD_INITIAL_CLUSTER_STATE={state}\nETCD_INITIAL_CLUSTER={members}\n",
    )


def join(argument: Any, client: str, context: Any) -> Any:
    """Be known to the members as a new one; {NAME: PEER URL} of all of them."""
    names = {other["peer"]: other["name"] for other in argument["others"]}
    names[argument["peer"]] = argument["name"]
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            members = ask(client, "/v3/cluster/member/list", {}, context)["members"]
            for member in members:
                if argument["peer"] in member["peerURLs"]:
                    ask(client, "/v3/cluster/member/remove", {"ID": member["ID"]}, context)
            added = {"peerURLs": [argument["peer"]]}
            members = ask(client, "/v3/cluster/member/add", added, context)["members"]
            break
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Members that just lost one need a moment to agree again.
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"etcd at {client} does not let this node join: {error}"
                ) from error
            time.sleep(1.0)
    urls = [url for member in members for url in member["peerURLs"]]
    return {names.get(url, urlsplit(url).hostname): url for url in urls}


def look(client: str, context: Any) -> str:
    """answers, absent (nothing listens, or nothing is ready) or silent."""
    place = urlsplit(client)
    try:
        socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()
    except ConnectionError:
        return "absent"
    except OSError:
        return "silent"
    try:
        ask(client, "/v3/cluster/member/list", {}, context)
    except (OSError, ValueError, http.client.HTTPException):
        return "absent"
    return "answers"


def ask(client: str, path: str, body: Any, context: Any) -> Any:
    place = urlsplit(client)
    connection = http.client.HTTPSConnection(
        place.hostname or "", place.port, timeout=ANSWER_SECONDS, context=context
    )
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    value = json.loads(text)
    if answer.status != 200:
        raise ValueError(value.get("error") or text)
    return value


def tls(argument: Any) -> Any:
    """The node as a client; its key is decrypted into memory and goes nowhere."""
    sealed = argument["key"]
    name = os.path.basename(sealed)
    command = ["systemd-creds", "decrypt", "--name=" + name, sealed, "-"]
    key = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    context = ssl.create_default_context(cafile=argument["authority"])
    handle = os.memfd_create("tls.key")
    try:
        os.write(handle, key)
        context.load_cert_chain(argument["certificate"], f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context


def write(path: str, text: str) -> None:
    new = path + ".new"
    with open(new, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
