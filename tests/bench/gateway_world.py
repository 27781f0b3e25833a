"""The contestants of `make bench-gateway`: each one process on a port, all before the same stub.

Peers are installed into build/bench/ from the package registries this machine is set up for; one
that cannot be had is left out, with the reason in the table.
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import orjson

from ledger.connect import connect
from ledger.limits import Limits, key_subject, set_limits
from tests.bench.gateway_load import BODY
from tests.support.gateway import Gateway
from tests.support.postgres import Server
from trust import apikeys

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "build" / "bench"
CHAT = "/v1/chat/completions"
STUB, STREAMER, NGINX, BARE, LITELLM, PORTKEY, STREAM_NGINX, SYNCED = range(18080, 18088)
INSTALL_SECONDS = 600
OURS, SYNCED_BARE = "ours, everything on", "bare relay, two synced writes a request"
# Contestants get one core; everything else (the stub, the load generator, our ledger and shipper,
# this program) shares the other.
CONTESTANT_CORE, LOAD_CORE = "0", "1"

ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Here you are: something short."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19},
    }
).decode()
MODELS = '{"object":"list","data":[{"id":"tiny","object":"model","created":1,"owned_by":"x"}]}'

STUB_CONF = """
worker_processes 1; daemon off; pid {folder}/stub.pid; error_log {folder}/stub.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body;
  server {{ listen 127.0.0.1:{port} backlog=1024; default_type application/json;
    location = {chat} {{ return 200 '{answer}'; }}
    location = /v1/models {{ return 200 '{models}'; }} }}
}}
"""
PROXY_CONF = """
worker_processes 1; daemon off; pid {folder}/proxy.pid; error_log {folder}/proxy.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/pbody;
  proxy_temp_path {folder}/ptemp; proxy_buffering off;
  upstream stub {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
"""
LITELLM_CONF = """
model_list:
  - model_name: tiny
    litellm_params: {{model: openai/tiny, api_base: "http://127.0.0.1:{stub}/v1", api_key: none}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false}}
"""


@dataclass
class Contestant:
    """Where it answers, with which headers; `process` is None for what serves by itself."""

    name: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    missing: str = ""

    @property
    def url(self) -> str:
        """Where chat completions are asked."""
        return f"http://127.0.0.1:{self.port}{CHAT}"

    def stop(self) -> None:
        """End its process."""
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                return
            self.process.kill()


def started(
    name: str,
    port: int,
    command: list[str],
    headers: dict[str, str] | None = None,
    *,
    core: str = CONTESTANT_CORE,
    seconds: float = 90,
    where: Path = ROOT,
) -> Contestant:
    """A contestant that runs and has answered once; `missing` says why it does not."""
    environment = {**os.environ, "PORT": str(port), "NODE_ENV": "production"}
    with (BENCH / f"{name.split()[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=where,
            env=environment,
        )
    made = Contestant(name, port, headers or {}, process)
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if answers(made):
            return made
        time.sleep(0.2)
    made.missing = f"did not answer within {seconds:.0f} s (build/bench/{name.split()[0]}.log)"
    made.stop()
    return made


def answers(contestant: Contestant) -> bool:
    """Whether one request gets 200 with the stub's answer."""
    connection = HTTPConnection("127.0.0.1", contestant.port, timeout=10)
    try:
        kind = {"Content-Type": "application/json"}
        connection.request("POST", CHAT, BODY, {**kind, **contestant.headers})
        answer = connection.getresponse()
        return answer.status == 200 and len(answer.read()) > 0
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def stub() -> Contestant:
    """Short answers, by nginx."""
    return _nginx(
        "stub",
        STUB,
        STUB_CONF.format(folder=BENCH, port=STUB, chat=CHAT, answer=ANSWER, models=MODELS),
        LOAD_CORE,
    )


def proxy(name: str, port: int, upstream: int) -> Contestant:
    """nginx before the stub."""
    return _nginx(
        name, port, PROXY_CONF.format(folder=BENCH, port=port, upstream=upstream), CONTESTANT_CORE
    )


def streamer(tokens: int, per_second: float) -> Contestant:
    """Streams, by a small server of our own."""
    module = [sys.executable, "-m", "tests.bench.gateway_stub", str(STREAMER)]
    return started("streamer", STREAMER, [*module, str(tokens), str(per_second)], core=LOAD_CORE)


def bare(folder: Path | None = None) -> Contestant:
    """The bare relay; with a folder it waits for two synced writes there for each request."""
    port = BARE if folder is None else SYNCED
    module = [sys.executable, "-m", "tests.bench.gateway_bare", str(port), str(STUB)]
    if folder is None:
        return started("bare relay, same libraries", port, module)
    return started(SYNCED_BARE, port, [*module, str(folder)])


async def ours(
    database: Server, folder: Path, upstream: int, module: str = "gateway", name: str = OURS
) -> tuple[Contestant, Gateway]:
    """The gateway as on a node, everything on, but for TLS: no other contestant has it here."""
    gateway = Gateway(
        folder,
        database,
        [{"name": "stub", "url": f"http://127.0.0.1:{upstream}", "max_concurrent": 1024}],
        {
            "listen": {"tls": False},
            "limits": {"max_connections": 4096},
            "spool": {"segment_kib": 16 * 1024, "max_mib": 2048},
        },
        module=module,
        log=BENCH / f"{folder.name}.log",  # as the others' logs: read by nobody
    )
    await gateway.start()
    assert gateway.process is not None
    _pin(gateway.process.pid)
    _give_way(database)
    key = await _limited_key(gateway)
    return Contestant(name, gateway.port, {"Authorization": f"Bearer {key}"}), gateway


def _pin(process_id: int) -> None:
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {int(CONTESTANT_CORE)})


def _give_way(database: Server) -> None:
    """PostgreSQL takes what time is left on its core: on a fleet it has machines of its own, and
    here it would take it from the load generator and the stub of whoever is measured next. It does
    so only where `policies_that_count`.
    """
    assert database.process is not None
    postmaster = database.process.pid
    listed = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    for process_id in (postmaster, *map(int, listed.split())):
        # What is started later inherits it.
        os.sched_setscheduler(process_id, os.SCHED_IDLE, os.sched_param(0))


async def _limited_key(gateway: Gateway) -> str:
    """A key with a limit of every kind, checked for each request and never reached."""
    text = await gateway.key()
    subject = key_subject(apikeys.parse(text).id)
    plenty = Limits(10**8, 10**11, 10**5, 10**12, 10**12)
    connection = await connect(gateway.database.settings("operator"))
    async with connection:
        await set_limits(connection, subject, plenty, actor="bench")
    return text


def litellm() -> Contestant:
    """LiteLLM's proxy, one worker, no database."""
    folder = BENCH / "litellm"
    program = folder / "bin" / "litellm"
    reason = _installed(program, lambda: _venv(folder, "litellm[proxy]"))
    if reason:
        return Contestant("LiteLLM", LITELLM, missing=reason)
    config = BENCH / "litellm.yaml"
    key = f"sk-{secrets.token_hex(24)}"  # it starts without one for "local development only"
    config.write_text(LITELLM_CONF.format(stub=STUB, key=key))
    command = [
        "env",
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
        str(program),
        "--config",
        str(config),
        "--port",
        str(LITELLM),
        "--num_workers",
        "1",
    ]
    version = _version(folder)
    headers = {"Authorization": f"Bearer {key}"}
    return started(f"LiteLLM {version}", LITELLM, [*command, "--host", "127.0.0.1"], headers)


def portkey() -> Contestant:
    """Portkey's gateway, as npm has it."""
    folder = BENCH / "portkey"
    package = folder / "node_modules" / "@portkey-ai" / "gateway"
    program = package / "build" / "start-server.js"
    reason = _installed(program, lambda: _npm(folder, "@portkey-ai/gateway"))
    if reason:
        return Contestant("Portkey", PORTKEY, missing=reason)
    version = orjson.loads((package / "package.json").read_bytes())["version"]
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{STUB}/v1",
        "Authorization": "Bearer none",
    }
    command = ["node", str(program), f"--port={PORTKEY}", "--headless"]
    return started(f"Portkey {version}", PORTKEY, command, headers, where=package)


def _nginx(name: str, port: int, text: str, core: str) -> Contestant:
    conf = BENCH / f"{name.split()[0]}-{port}.conf"
    conf.write_text(text)
    return started(name, port, ["nginx", "-p", str(BENCH), "-c", str(conf)], core=core)


def _installed(program: Path, install: Callable[[], None]) -> str:
    if program.exists():
        return ""
    try:
        install()
    except (subprocess.SubprocessError, OSError) as error:
        return f"cannot be installed here: {str(error)[:120]}"
    return "" if program.exists() else f"its package has no {program.name}"


def _venv(folder: Path, package: str) -> None:
    uv = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or "uv"
    subprocess.run([uv, "venv", "-q", "--clear", str(folder)], check=True, timeout=INSTALL_SECONDS)
    command = [uv, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), package]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)


def _npm(folder: Path, package: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", package]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS, cwd=folder)


def _version(folder: Path) -> str:
    found = sorted(folder.glob("lib/python*/site-packages/litellm-*.dist-info"))
    return found[0].name.removeprefix("litellm-").removesuffix(".dist-info") if found else "?"


def processor_seconds(process_id: int) -> float:
    """What a process has used of the processor since it began, all threads, to a hundredth."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process_id: int) -> int:
    """How much memory a process holds."""
    line = next(
        text
        for text in Path(f"/proc/{process_id}/status").read_text().splitlines()
        if text.startswith("VmRSS:")
    )
    return int(line.split()[1]) * 1024
