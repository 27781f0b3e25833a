"""Run a system command, bounded in time, and turn its failure into ours."""

import os
import subprocess
from collections.abc import Sequence

from lab.errors import CommandFailed

DEFAULT_TIMEOUT_SECONDS = 30.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment() -> dict[str, str]:
    """This process's environment with the system folders on PATH and messages in English."""
    return {
        **os.environ,
        "PATH": f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}".lstrip(":"),
        "LC_ALL": "C.UTF-8",
    }


def run(
    argv: Sequence[str],
    *,
    text_in: str | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> str:
    """Standard output of `argv`; raises CommandFailed when it fails, is missing or takes too long.

    Its standard error is kept for the error message only. Its standard input is empty or `text_in`.
    """
    try:
        done = completed(argv, text_in=text_in, timeout_seconds=timeout_seconds)
    except FileNotFoundError as error:
        raise CommandFailed(argv, 127, f"{argv[0]}: not found") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(argv, 124, f"no end after {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def completed(
    argv: Sequence[str], *, text_in: str | None, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """How `argv` ended, and all it said; raises FileNotFoundError and subprocess.TimeoutExpired."""
    return subprocess.run(
        argv,
        input=text_in if text_in is not None else "",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_seconds,
        env=environment(),
        check=False,
    )


def succeeds(argv: Sequence[str], *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> bool:
    """Whether `argv` ends with status 0."""
    try:
        run(argv, timeout_seconds=timeout_seconds)
    except CommandFailed:
        return False
    return True
