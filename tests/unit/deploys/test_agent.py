"""The node's agent as a real process: what it runs, what it answers, and that it dies with us."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploys.remote_source import source
from deploys.session import BOOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent runs on Linux")


class Agent:
    """An agent process and the operator's side of its protocol."""

    def __init__(self, before: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", before + BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        text = source("agent").encode()
        self.send(f"{len(text)}\n".encode() + text)
        assert self.answer() == (0, "", ""), "it says that it is there"

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, body: bytes = b"", **header: Any) -> tuple[int, str, str]:
        self.send(json.dumps({**header, "size": len(body)}).encode() + b"\n" + body)
        return self.answer()

    def answer(self) -> tuple[int, str, str]:
        assert self.process.stdout is not None
        header = json.loads(self.process.stdout.readline())
        out = self.process.stdout.read(header["out"]).decode()
        return header["rc"], out, self.process.stdout.read(header["err"]).decode()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


# As on macOS, where a process has no descriptor and a file in memory has none either.
WITHOUT_LINUX = "import os; del os.pidfd_open, os.memfd_create; "


@pytest.fixture(params=["", WITHOUT_LINUX], ids=["linux", "elsewhere"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    agent = Agent(request.param)
    yield agent
    agent.close()


def shell(agent: Agent, command: str, stdin: bytes = b"", timeout: float | None = None) -> Any:
    return agent.ask(stdin, kind="shell", command=command, timeout=timeout)


def test_a_command_gets_its_stdin_and_returns_output_and_status(agent: Agent) -> None:
    assert shell(agent, "cat; echo oops >&2; exit 3", b"hello\n") == (3, "hello\n", "oops\n")


def test_a_command_is_not_in_the_process_list(agent: Agent) -> None:
    _, out, _ = shell(agent, "secret=XYZZY123; tr '\\0' ' ' < /proc/$$/cmdline")
    assert out.startswith("sh /dev/fd/")
    assert "XYZZY123" not in out


def test_much_output_does_not_block(agent: Agent) -> None:
    code, out, err = shell(agent, "head -c 3000000 /dev/zero | tr '\\0' a; echo end >&2")
    assert (code, len(out), err) == (0, 3_000_000, "end\n")


def test_a_command_that_takes_too_long_is_stopped(agent: Agent) -> None:
    begun = time.monotonic()
    code, _, err = shell(agent, "sleep 30", timeout=0.3)
    assert code == 124
    assert "stopped" in err
    assert time.monotonic() - begun < 25


def test_what_a_command_leaves_in_the_background_does_not_hold_the_answer(agent: Agent) -> None:
    begun = time.monotonic()
    assert shell(agent, "sleep 60 & echo started")[1] == "started\n"
    assert time.monotonic() - begun < 50


def test_a_script_gets_its_argument_and_returns_json(agent: Agent) -> None:
    body = json.dumps({"source": "def main(a):\n    return {'twice': a * 2}\n", "argument": 21})
    code, out, _ = agent.ask(body.encode(), kind="script")
    assert (code, json.loads(out)) == (0, {"twice": 42})


@pytest.mark.parametrize(
    ("body", "said"),
    [("raise SystemExit('no room')", "no room\n"), ("1 / 0", "ZeroDivisionError: division")],
)
def test_a_script_that_fails_says_why(agent: Agent, body: str, said: str) -> None:
    text = json.dumps({"source": f"def main(a):\n    {body}\n", "argument": None})
    code, _, err = agent.ask(text.encode(), kind="script")
    assert code == 1
    assert err.startswith(said)


def test_a_file_is_put_whole_or_not_at_all(agent: Agent, tmp_path: Path) -> None:
    target = tmp_path / "file"
    assert agent.ask(b"x" * 100_000, kind="put", path=str(target), mode=0o640)[0] == 0
    assert target.read_bytes() == b"x" * 100_000
    assert target.stat().st_mode & 0o777 == 0o640
    code, _, err = agent.ask(b"y", kind="put", path=str(tmp_path / "no" / "file"), mode=0o600)
    assert code == 1
    assert "No such file" in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_its_command_dies_when_nobody_listens_any_more(tmp_path: Path) -> None:
    agent, mark = Agent(), tmp_path / "pid"
    header = {"kind": "shell", "command": f"echo $$ > {mark}; sleep 600; echo", "size": 0}
    agent.send(json.dumps(header).encode() + b"\n")
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    pid = int(mark.read_text())
    agent.close()
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
