"""OpenAI's official Node client, installed from its lock file, and what it makes of a gateway.

The lock file pins the package by its integrity hash and names no registry: npm takes the one the
machine is configured for.
"""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).with_name("node_client")
INSTALLED = HERE.parents[2] / "build" / "node_client"
INSTALL_SECONDS, RUN_SECONDS = 240.0, 120.0
# The client's own class for each failure, and the status it came with.
RAISED = {
    "unknown_key": ("AuthenticationError", 401, "invalid_api_key"),
    "other_model": ("PermissionDeniedError", 403, "insufficient_permissions"),
    "no_model": ("NotFoundError", 404, "model_not_found"),
    "too_often": ("RateLimitError", 429, "rate_limit_exceeded"),
    "wrong_type": ("BadRequestError", 400, "invalid_type"),
    "too_slow": ("APIConnectionTimeoutError", None, None),
}


async def played(
    base_url: str, authority: Path, model: str, key: str, narrow: str, limited: str, endless: str
) -> dict[str, Any]:
    """Everything the Node client was asked to try, and how it went; see client.mjs.

    `narrow` is a key that may not use `model`, `limited` one that may ask once a minute, `endless`
    a prompt whose answer takes long.
    """
    await _install()
    settings = {
        "BASE_URL": base_url,
        "MODEL": model,
        "KEY": key,
        "NARROW_KEY": narrow,
        "LIMITED_KEY": limited,
        "ENDLESS": endless,
        "NODE_EXTRA_CA_CERTS": str(authority),
    }
    said = await _run(["node", "client.mjs"], RUN_SECONDS, settings)
    found: dict[str, Any] = json.loads(said)
    return found


def raised_as_documented(found: dict[str, Any]) -> None:
    """Each failure is the client's own exception for it."""
    for what, expected in RAISED.items():
        error = found["raised"][what]
        assert (error["type"], error["status"], error["code"]) == expected, (what, error)


async def _install() -> None:
    INSTALLED.mkdir(parents=True, exist_ok=True)
    lock = HERE / "package-lock.json"
    stamp = INSTALLED / "installed.json"
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, INSTALLED / name)
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"]
    await _run(["npm", "ci", *quiet], INSTALL_SECONDS, {})
    shutil.copy(lock, stamp)


async def _run(command: list[str], seconds: float, settings: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=INSTALLED,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds):
        out, err = await process.communicate()
    assert process.returncode == 0, (command, err.decode()[-3000:])
    return out.decode()
