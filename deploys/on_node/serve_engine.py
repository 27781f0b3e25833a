"""Start vLLM's OpenAI server and tell systemd the truth: run by federation-inference.service.

vLLM knows nothing of sd_notify. A thread beside it asks `/health` over TLS, as a gateway would:
the first good answer is READY=1, each later one is WATCHDOG=1, and silence lets systemd restart it.
Arguments are passed to vLLM untouched. `ENGINE_HEALTH_URL`, `ENGINE_CA`, `ENGINE_CERTIFICATE` and
the credential `tls.key` are what the thread uses. Only the standard library is needed here.
"""

import os
import runpy
import socket
import ssl
import threading
import time
import urllib.request
from pathlib import Path

ENGINE = "vllm.entrypoints.openai.api_server"
PROBE_TIMEOUT_SECONDS = 10.0


def notify(message: str) -> None:
    """Send one sd_notify message; nothing happens outside systemd."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect("\0" + place[1:] if place.startswith("@") else place)
        client.sendall(message.encode())


def healthy(url: str, context: ssl.SSLContext) -> bool:
    """Whether the engine says it can answer."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def watch(url: str, context: ssl.SSLContext, interval_seconds: float) -> None:
    """Report to systemd for as long as the process lives."""
    ready = False
    while True:
        if healthy(url, context):
            notify("WATCHDOG=1" if ready else "READY=1\nSTATUS=Serving")
            ready = True
        time.sleep(interval_seconds if ready else 0.5)


def start_watching() -> None:
    """Start the thread that watches, with what the unit's environment says."""
    context = ssl.create_default_context(cafile=os.environ["ENGINE_CA"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    key = Path(os.environ["CREDENTIALS_DIRECTORY"]) / "tls.key"
    context.load_cert_chain(os.environ["ENGINE_CERTIFICATE"], key)
    watchdog_seconds = int(os.environ.get("WATCHDOG_USEC", "60000000")) / 1e6
    url = os.environ["ENGINE_HEALTH_URL"]
    arguments = (url, context, watchdog_seconds / 4)
    threading.Thread(target=watch, args=arguments, name="watchdog", daemon=True).start()


# vLLM starts its workers by importing this process's main module again, under another name.
if __name__ == "__main__":
    start_watching()
    # Workers must not speak for the service, nor find this file when they look for vLLM.
    runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
