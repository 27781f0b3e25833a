"""Start or restart this node's Patroni, and wait until its PostgreSQL leads or follows.

Argument: {"unit", "verb": start|restart, "enable": BOOL, "daemon_reload": BOOL, "url", "node",
"certificate", "authority", "key", "start_seconds", "copy_seconds"}. A leader hands over before it
is restarted when a standby that has every acknowledged write can take over; alone, it restarts in
place. A new member copies the whole database first, which is what the time is for.
"""

import http.client
import json
import ssl
import subprocess
import time
from typing import Any, NoReturn
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0
SWITCHOVER_SECONDS = 60.0
SYSTEMCTL_SECONDS = 180


def main(argument: Any) -> None:
    unit = argument["unit"]
    if argument["daemon_reload"]:
        systemctl(argument, "daemon-reload")
    if argument["enable"]:
        systemctl(argument, "enable", unit)
    if argument["verb"] == "restart":
        hand_over(argument)
    subprocess.run(["systemctl", "reset-failed", unit], stderr=subprocess.DEVNULL, check=False)
    systemctl(argument, argument["verb"], unit)
    begun = stalled = time.monotonic()
    said = ""
    while time.monotonic() - stalled < argument["start_seconds"]:
        state = ask(argument, "GET", "/patroni")
        if state is not None:
            said = f"{state.get('role', '?')}, {state.get('state', '?')}"
            leads = state.get("role") in ("primary", "master", "standby_leader")
            follows = state.get("replication_state") == "streaming"
            if state.get("state") == "running" and (leads or follows):
                return
            copying = state.get("state") in ("creating replica", "starting")
            if copying and time.monotonic() - begun < argument["copy_seconds"]:
                stalled = time.monotonic()
        time.sleep(0.3)
    fail(argument, f"not ready after {time.monotonic() - begun:.0f} s ({said or 'no answer'})")


def hand_over(argument: Any) -> None:
    """Have another node lead, if this one does and another can without losing anything."""
    cluster = ask(argument, "GET", "/cluster")
    if cluster is None:
        return
    node = argument["node"]
    leads = any(m["name"] == node and m["role"] == "leader" for m in cluster["members"])
    ready = [
        member["name"]
        for member in cluster["members"]
        if member["role"] in ("sync_standby", "quorum_standby") and member["state"] == "streaming"
    ]
    if not leads or not ready:
        return
    ask(argument, "POST", "/switchover", {"leader": node}, SWITCHOVER_SECONDS)
    deadline = time.monotonic() + SWITCHOVER_SECONDS
    while time.monotonic() < deadline:
        cluster = ask(argument, "GET", "/cluster") or {"members": []}
        if any(m["name"] != node and m["role"] == "leader" for m in cluster["members"]):
            return
        time.sleep(0.3)
    fail(argument, f"no other node took over within {SWITCHOVER_SECONDS:.0f} s; not restarted")


def ask(argument: Any, method: str, path: str, body: Any = None, seconds: float = 0.0) -> Any:
    """The answer's JSON (text for what is not JSON), or None when there is none."""
    place = urlsplit(argument["url"])
    try:
        context = ssl.create_default_context(cafile=argument["authority"])
        context.load_cert_chain(argument["certificate"], argument["key"])
        connection = http.client.HTTPSConnection(
            place.hostname, place.port, timeout=seconds or ANSWER_SECONDS, context=context
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def systemctl(argument: Any, *words: str) -> None:
    try:
        done = subprocess.run(
            ["systemctl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SYSTEMCTL_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        fail(argument, f"systemctl {words[0]}: not done after {SYSTEMCTL_SECONDS} s")
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        fail(argument, f"systemctl {words[0]} failed: {said}")


def fail(argument: Any, message: str) -> NoReturn:
    journal = subprocess.run(
        ["journalctl", "--unit", argument["unit"], "--lines", "30", "--no-pager", "-o", "cat"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    ).stdout.decode(errors="replace")  # fmt: skip
    raise SystemExit(f"{argument['unit']}: {message}\nlast lines of its journal:\n{journal}")
