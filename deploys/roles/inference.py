"""The inference engine on its nodes: vLLM in an environment of its own, a model, the service.

In the lab the CPU build serves a small model made on the node; at a site the CUDA build serves what
lies at the inventory's `model_path`. `MODEL=/path` copies a model from the operator's machine.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from pyinfra.api import deploy

from deploys.context import Engine, NodeContext
from deploys.errors import BuildMissing
from deploys.exporters import unit_file
from deploys.layout import AUTHORITY, CERTIFICATE, CONFIG, STATE, credential
from deploys.model_files import ModelFiles, model_files
from deploys.operations.environments import ENGINES, Environment, environment
from deploys.operations.files import ManagedFile, managed
from deploys.operations.models import copied, made
from deploys.operations.packages import packages
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.ship import destination
from deploys.templates import render

UNIT = "federation-inference.service"
LIBRARY = "/usr/local/lib/federation"
WRAPPER = f"{LIBRARY}/serve_engine.py"
MODEL_MAKER = f"{LIBRARY}/make_model.py"
OPENSSL = f"{CONFIG}/openssl-tls13.cnf"
MODELS = f"{STATE}/models"
ON_NODE = Path(__file__).parent.parent / "on_node"
DIGITS = 8
START_SECONDS = {"cpu": 600, "cuda": 1800}
# vLLM's wheels leave these to the distribution.
PACKAGES = {
    "cpu": ("libgomp1", "libnuma1"),
    # Triton compiles the last piece of each kernel with the C compiler.
    "cuda": ("gcc", "libc6-dev", "libgomp1", "libnuma1", "python3-dev"),
}


@deploy("Inference")
def inference(context: NodeContext) -> None:
    """The engine and its model, answering gateways over mutual TLS."""
    if context.engine is None:
        raise BuildMissing(f"no engine was built for {context.node.name}")
    kind = context.federation.inference.engine
    wanted = engine_environment(context.engine)
    files = None if context.engine.model is None else local_model(context)
    path = model_path(context, files)
    managed(name="Inference: configuration", files=configuration(context, wanted.path, path))
    packages(name="Inference: packages", names=PACKAGES[kind])
    system_users(
        name="Inference: user",
        owner="inference",
        users=[SystemUser("fedvllm", "Federation inference engine")],
    )
    environment(name="Inference: engine", wanted=wanted, to=destination(context))
    if files is not None:
        copied(name="Inference: model", path=path, model=files, to=destination(context))
    elif not context.federation.inference.model_path:
        made(
            name="Inference: model",
            path=path,
            program=[f"{wanted.path}/bin/python", "-I", "-B", MODEL_MAKER],
            digest=maker_digest(),
        )
    units(name="Inference: service", units=[Unit(UNIT)], timeout_seconds=START_SECONDS[kind] + 30)


def engine_environment(engine: Engine) -> Environment:
    """Where the engine goes. Bytecode of 2 GB is not made: the unit keeps that of what it loads."""
    return Environment(
        folder=ENGINES,
        name=f"{engine.name}-{engine.version}",
        wheels=engine.wheelhouse,
        keep=2,
        compile=False,
    )


def local_model(context: NodeContext) -> ModelFiles:
    """The operator's own model, which is to be copied."""
    if context.engine is None or context.engine.model is None:
        raise BuildMissing("no model was given")
    return model_files(context.engine.model, context.home.cache)


def model_path(context: NodeContext, files: ModelFiles | None) -> str:
    """Where the served model is on the node; its name changes with its content."""
    served = context.federation.inference
    if files is None and served.model_path:
        return served.model_path
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", served.served_model_name).strip(".-") or "model"
    digest = files.digest if files is not None else maker_digest()
    return f"{MODELS}/{name}-{digest[:DIGITS]}"


def maker_digest() -> str:
    """What identifies the lab's own model: the program that makes it."""
    return hashlib.sha256((ON_NODE / "make_model.py").read_bytes()).hexdigest()


def configuration(context: NodeContext, engine: str, model: str) -> list[ManagedFile]:
    """The programs that run beside the engine, OpenSSL's settings, and the unit."""
    federation, node = context.federation, context.node
    gpu = federation.inference.engine == "cuda"
    return [
        ManagedFile(WRAPPER, (ON_NODE / "serve_engine.py").read_text()),
        ManagedFile(MODEL_MAKER, (ON_NODE / "make_model.py").read_text()),
        ManagedFile(OPENSSL, render("openssl-tls13.cnf")),
        unit_file(
            UNIT,
            [WRAPPER, OPENSSL, f"{engine}/.complete", f"{model}/config.json"],
            engine=engine.rpartition("/")[2],
            python=f"{engine}/bin/python",
            wrapper=WRAPPER,
            model=model,
            flags=flags(context, model),
            environment=[] if gpu else cpu_settings(context),
            address=node.address,
            port=federation.ports.vllm,
            authority=AUTHORITY,
            certificate=CERTIFICATE,
            openssl=OPENSSL,
            start_seconds=START_SECONDS[federation.inference.engine],
            memory_max_mib=node.limits.inference_memory_max_mib,
            gpu=gpu,
        ),
    ]


def cpu_settings(context: NodeContext) -> list[str]:
    """The CPU build's environment: memory for keys and values of running requests, in GiB.

    Samplers are compiled on their first use even with --enforce-eager, and die without a C++
    compiler: compilation is off altogether.
    """
    gib = context.federation.inference.cpu_kvcache_gib
    return [f"VLLM_CPU_KVCACHE_SPACE={gib}", "TORCHDYNAMO_DISABLE=1"]


def flags(context: NodeContext, model: str) -> Sequence[str]:
    """vLLM's command line, one flag a line of the unit. Only client certificates of ours get in."""
    wanted = context.federation.inference
    shared = [
        f"--model {model}",
        f"--served-model-name {quoted(wanted.served_model_name)}",
        f"--max-model-len {wanted.max_model_len}",
        f"--host {context.node.address}",
        f"--port {context.federation.ports.vllm}",
        f"--ssl-certfile {CERTIFICATE}",
        f"--ssl-keyfile {credential(UNIT, 'tls.key')}",
        f"--ssl-ca-certs {AUTHORITY}",
        "--ssl-cert-reqs 2",
        "--enable-request-id-headers",
        "--enable-force-include-usage",
        "--disable-fastapi-docs",
        "--disable-access-log-for-endpoints /health,/metrics",
    ]
    if wanted.tool_call_parser:
        shared += ["--enable-auto-tool-choice", f"--tool-call-parser {wanted.tool_call_parser}"]
    if wanted.engine == "cuda":
        return [*shared, f"--gpu-memory-utilization {wanted.gpu_memory_utilization}"]
    # No compiler needed, and the one number format every CPU computes safely with this build.
    # A model with random weights would pad structured answers with blanks for ever.
    structured = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
    return [
        *shared,
        "--dtype float32",
        "--enforce-eager",
        f"--structured-outputs-config '{structured}'",
    ]


def quoted(value: str) -> str:
    """`value` as one word of a unit's command line (systemd.service(5), COMMAND LINES)."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'
