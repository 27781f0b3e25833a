"""`python -m lab up|down|status`: until fedctl has these verbs."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from inventory.home import home_of
from inventory.load import load
from lab.lifecycle import clean, down, up
from lab.status import status

LOG = logging.getLogger("lab")


class Plain:
    """Progress as log lines."""

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Log the step and how long it took."""
        begun = time.monotonic()
        yield
        LOG.info("%s: %.1f s", title, time.monotonic() - begun)

    def note(self, text: str) -> None:
        """Log the line."""
        LOG.info("  %s", text)


def main() -> None:
    """Run one verb on the default inventory."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    federation = load()
    home = home_of(federation.name)
    verb = sys.argv[1] if len(sys.argv) > 1 else "status"
    if verb in ("up", "down", "clean"):
        {"up": up, "down": down, "clean": clean}[verb](federation, home, Plain())
    for node in status(federation, home):
        LOG.info("%s", node)
    LOG.info("ssh -i %s -o UserKnownHostsFile=%s root@ADDRESS", home.ssh_key, home.known_hosts)


if __name__ == "__main__":
    main()
