"""docs/how-to/clients.md: what it tells people to type works, as it stands there."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import ROOT, Gateway
from tests.support.upstream import MODEL, Engine

PAGE = (ROOT / "docs/how-to/clients.md").read_text()


def snippets(title: str, language: str) -> list[str]:
    """The blocks of one section, for the model the engine has and a prompt it understands."""
    (section,) = [part for part in re.split(r"^## ", PAGE, flags=re.M) if part.startswith(title)]
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)
    assert blocks, title
    return [block.replace("MODEL", MODEL).replace("Hello", "say 2") for block in blocks]


async def run(gateway: Gateway, key: str, *command: str) -> str:
    env = {
        **os.environ,
        "FEDERATION_URL": f"{gateway.url}/v1",
        "FEDERATION_KEY": key,
        "FEDERATION_CA": str(gateway.database.root / "ca.pem"),
    }
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "data: [DONE]"), (1, '"content":"word word "'), (2, f'"id":"{MODEL}"')],
)
async def test_curl(gateway: Gateway, engine: Engine, key: str, number: int, shown: str) -> None:
    said = await run(gateway, key, "sh", "-c", snippets("curl", "sh")[number])
    assert shown in said.replace(": ", ":").replace("data:[", "data: [")


async def test_python(gateway: Gateway, engine: Engine, key: str, tmp_path: Path) -> None:
    program, *more = snippets("Python: openai", "python")
    assert "word0 word1" in await run(gateway, key, sys.executable, "-c", program)
    # What follows on the page goes on with the first block's client.
    client = program.partition("stream =")[0]
    headers, errors = more
    assert "word word" in await run(gateway, key, sys.executable, "-c", client + headers)
    said = await run(gateway, key, sys.executable, "-c", client + errors)
    assert said.strip() == "model_not_found" and len(engine.calls) == 2
