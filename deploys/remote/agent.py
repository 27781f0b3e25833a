"""The process that runs commands on a node for one deploy session, as root, over one SSH channel.

Why it exists: a new SSH channel, sudo and a shell for every command cost most of a deploy's time,
and closing a channel does not end the command it started. This process starts once, forks a child
a request, and kills the child when its stdin ends: when the operator's side is gone, for whatever
reason, so is what it was running.

Requests and replies are one line of JSON, followed by as many bytes as its `size` (or `out` and
`err`) says. Requests: {"kind": "shell", "command", "timeout", "size"} with stdin as the bytes;
{"kind": "script", "timeout", "size"} with {"source", "argument"} as JSON bytes; {"kind": "put",
"path", "mode", "size"} with the content. An empty reply comes first, unasked: it tells that this
process runs, which only root's does. Neither commands nor contents appear in `ps`.
"""

import base64  # noqa: F401
import grp  # noqa: F401
import hashlib  # noqa: F401
import json
import os
import pwd  # noqa: F401
import re  # noqa: F401
import selectors
import shutil  # noqa: F401
import signal
import stat  # noqa: F401
import subprocess  # noqa: F401
import sys
import tempfile
import time
from typing import Any

# What is imported above and not used here is what scripts use: imported once, not by every child.

OUTPUT_LIMIT = 8 * 1024 * 1024
GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.02
codes: Any = {}


def serve() -> None:
    os.umask(0o022)
    os.chdir("/")
    reply(0, b"", b"")
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        request = json.loads(line)
        if request["kind"] == "put":
            reply(*put(request["path"], request["mode"], request["size"]))
            continue
        body = sys.stdin.buffer.read(request["size"])
        if len(body) < request["size"]:
            return
        if request["kind"] == "shell":
            reply(*run(shell(request["command"], body), request.get("timeout")))
        else:
            reply(*run(script(json.loads(body)), request.get("timeout")))


def reply(code: int, out: bytes, err: bytes) -> None:
    header = json.dumps({"rc": code, "out": len(out), "err": len(err)})
    sys.stdout.buffer.write(header.encode() + b"\n" + out + err)
    sys.stdout.buffer.flush()


def shell(command: str, stdin: bytes) -> Any:
    def child() -> None:
        os.dup2(holding(stdin), 0)
        text = holding(command.encode())
        os.set_inheritable(text, True)
        os.execvp("sh", ["sh", f"/dev/fd/{text}"])  # noqa: S606

    return child


def holding(data: bytes) -> int:
    """A descriptor from which `data` can be read; in memory where possible: a disk may be full."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("data")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def script(body: Any) -> Any:
    source = body["source"]
    if source not in codes:
        codes[source] = compile(source, "script", "exec")

    def child() -> None:
        names: Any = {"__name__": "script"}
        try:
            exec(codes[source], names)
            print(json.dumps(names["main"](body["argument"])))
        except SystemExit as error:
            finish(error.code if isinstance(error.code, int) else 1, str(error))
        except BaseException as error:
            finish(1, f"{type(error).__name__}: {error}")
        finish(0, "")

    return child


def finish(code: int, message: str) -> None:
    sys.stdout.flush()
    if message:
        os.write(2, message.encode() + b"\n")
    os._exit(code)


def run(child: Any, timeout: Any) -> Any:
    out, err = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out[1], 1)
            os.dup2(err[1], 2)
            child()
        except BaseException as error:
            finish(127, f"{type(error).__name__}: {error}")
    os.close(out[1])
    os.close(err[1])
    chunks: Any = {out[0]: [], err[0]: []}
    try:
        code, note = watch(process, chunks, timeout)
    finally:
        os.close(out[0])
        os.close(err[0])
    return code, b"".join(chunks[out[0]]), b"".join(chunks[err[0]]) + note


def watch(process: int, chunks: Any, timeout: Any) -> Any:
    """Collect output until the child ends, its time is up, or nobody is listening any more."""
    deadline = time.monotonic() + timeout if timeout else None
    # Where there is no descriptor for a process (macOS), look for its end every now and then.
    exited = os.pidfd_open(process) if hasattr(os, "pidfd_open") else -1
    room = dict.fromkeys(chunks, OUTPUT_LIMIT)
    try:
        with selectors.DefaultSelector() as selector:
            for handle in (*chunks, exited, 0):
                if handle >= 0:
                    selector.register(handle, selectors.EVENT_READ)
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    kill(process)
                    return 124, b"\nnot done after %d s: stopped\n" % timeout
                if exited < 0:
                    left = LOOK_SECONDS if left is None else min(left, LOOK_SECONDS)
                ready = [key.fd for key, _ in selector.select(left)]
                for handle in ready:
                    if handle in chunks and not drain(handle, chunks[handle], room):
                        selector.unregister(handle)
                if 0 in ready:
                    # No request comes before this one's reply: the operator's side has gone.
                    kill(process)
                    os._exit(1)
                ended, status = (
                    os.waitpid(process, os.WNOHANG) if exited < 0 or exited in ready else (0, 0)
                )
                if ended:
                    # What a daemon left behind still holds the pipes: take what is there, no more.
                    for handle in chunks:
                        os.set_blocking(handle, False)
                        while drain(handle, chunks[handle], room):
                            pass
                    return os.waitstatus_to_exitcode(status), b""
    finally:
        if exited >= 0:
            os.close(exited)


def drain(handle: int, chunks: Any, room: Any) -> bool:
    try:
        data = os.read(handle, 65536)
    except BlockingIOError:
        return False
    chunks.append(data[: room[handle]])
    room[handle] -= len(chunks[-1])
    return bool(data)


def kill(process: int) -> None:
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        try:
            os.killpg(process, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if os.waitpid(process, os.WNOHANG)[0]:
                return
            time.sleep(0.05)


def put(path: str, mode: int, size: int) -> Any:
    """Receive a file beside its place, sync it and rename it there."""
    left, failure, handle, temporary = size, "", -1, ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=os.path.dirname(path))
    except OSError as error:
        failure = str(error)
    while left:
        data = sys.stdin.buffer.read(min(left, 1 << 20))
        if not data:
            failure = failure or "the operator's side has gone"
            break
        left -= len(data)
        try:
            while data and not failure:
                data = data[os.write(handle, data) :]
        except OSError as error:
            failure = str(error)
    try:
        if not failure:
            os.fchmod(handle, mode)
            os.fsync(handle)
            os.rename(temporary, path)
    except OSError as error:
        failure = str(error)
    if handle >= 0:
        os.close(handle)
    if failure and temporary:
        os.unlink(temporary)
    return (1, b"", f"{path}: {failure}\n".encode()) if failure else (0, b"", b"")


if __name__ == "__main__":
    serve()
