"""`python -m deploys.run plan|apply`: the process in which pyinfra lives.

stdout carries events (`deploys.protocol`), one JSON object a line, the last of them a Summary;
stderr carries the log. The exit status is 0 when the run did what it was asked, else 1: what went
wrong is in the Summary.

This file only starts quickly: most of a run that changes nothing is imports, so what they do not
need is left out of them.
"""

import gc
import signal
import sys

from deploys.protocol import Outcome, Summary, encode


def start() -> int:
    """Import the rest and run it; the exit status."""
    # The handlers of deploys.command take over from this one once it is there.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _main()
    except KeyboardInterrupt:
        mode = next((word for word in sys.argv[1:] if word in ("plan", "apply")), "")
        line = encode(Summary(mode, Outcome.INTERRUPTED, "interrupted", 0.0))
        sys.stdout.write(line + "\n")
        return 1


def _main() -> int:
    # No cycle worth collecting arises while modules load, and the process is short.
    gc.disable()
    # paramiko imports invoke (0.1 s) for `Match exec` in ssh_config, which is never read here.
    sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
    from deploys.command import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
