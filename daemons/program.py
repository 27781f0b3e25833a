"""A daemon as a program: read one file of settings, run, and end as systemd understands it.

What keeps it from running goes to the journal in one line.
"""

import argparse
import asyncio
import logging
import ssl
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

# EX_CONFIG: systemd does not try again (RestartPreventExitStatus), for what is wrong in the files
# now is wrong in two seconds.
BAD_CONFIGURATION = 78


class Logging(Protocol):
    """Settings that say how much is logged."""

    @property
    def log_level(self) -> str:
        """A level of `logging`, in any case."""


S = TypeVar("S", bound=Logging)


@dataclass(frozen=True)
class Program(Generic[S]):
    """One daemon. `read` raises what is wrong with its settings; `run` ends when it was stopped.

    An error of `bad` ends it with BAD_CONFIGURATION, one of `failed` (or of the system, or TLS's)
    with 1; any other is a mistake of ours and is not caught.
    """

    name: str
    about: str | None
    read: Callable[[Path], S]
    run: Callable[[S], Coroutine[Any, Any, object]]
    bad: tuple[type[Exception], ...] = ()
    failed: tuple[type[Exception], ...] = ()

    def main(self, arguments: list[str] | None = None) -> int:
        """Run; the exit code."""
        module = self.name.replace("-", "_")
        parser = argparse.ArgumentParser(prog=f"daemons.{module}", description=self.about)
        default = Path(f"/etc/federation/{self.name}.toml")
        parser.add_argument("--config", type=Path, default=default)
        options = parser.parse_args(arguments)
        failed: tuple[type[Exception], ...] = (*self.failed, OSError, ssl.SSLError)
        try:
            settings = self.read(options.config)
            level = settings.log_level.upper()
            logging.basicConfig(level=level, format="%(levelname)s %(message)s")
            asyncio.run(self.run(settings))
        except self.bad as error:
            return self._say(error, BAD_CONFIGURATION)
        except failed as error:
            return self._say(error, 1)
        return 0

    def _say(self, error: BaseException, code: int) -> int:
        sys.stderr.write(f"federation-{self.name}: {error}\n")
        return code
