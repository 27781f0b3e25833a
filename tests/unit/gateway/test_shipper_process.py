"""What a shipper says when it lacks what it needs; one that died is started again."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvloop

from gateway.shipper import child as child_module
from gateway.shipper.child import ShipperChild


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "the gateway starts this"),
        (b'{"node": "x", "prot": 1}\n', "prot = 1"),
        (b"[gateway]\n", "the gateway starts this"),
    ],
)
def test_it_says_what_is_wrong_and_ends(line: bytes, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.shipper"], input=line, capture_output=True, check=False
    )
    assert done.returncode == 78
    assert reason in done.stderr.decode() and b"Traceback" not in done.stderr


def test_one_that_dies_before_it_was_told_or_cannot_be_started_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In uvloop, as the gateway is: there, writing to one that has died raises RuntimeError."""
    real = asyncio.create_subprocess_exec
    troubles = ["dies", "cannot be started"]

    async def troubled(*_: str, **options: Any) -> asyncio.subprocess.Process:
        trouble = troubles.pop(0) if troubles else ""
        if trouble == "cannot be started":
            raise BlockingIOError("no more processes")
        process = await real(sys.executable, "-c", "import sys; sys.stdin.read()", **options)
        if trouble == "dies":
            process.kill()
            assert process.stdin is not None
            async with asyncio.timeout(60):
                while not process.stdin.is_closing():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        return process

    async def kept() -> None:
        monkeypatch.setattr(child_module.asyncio, "create_subprocess_exec", troubled)
        monkeypatch.setattr(child_module, "LONGEST_PAUSE_SECONDS", 0.01)
        settings = SimpleNamespace(model_dump_json=lambda: "{}")
        shipper = ShipperChild(cast("Any", settings))
        shipper.start()
        async with asyncio.timeout(60):
            while shipper.starts < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert troubles == []
        await shipper.stop()

    uvloop.run(kept())
