"""What the shipper's process says when it is not given what it needs."""

import subprocess
import sys

import pytest


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
