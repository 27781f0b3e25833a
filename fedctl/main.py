"""The `fedctl` program: everything between the shell and `cli`, ending in one exit code.

Imports are late on purpose: Ctrl-C in the first tenths of a second must end like any other.
"""

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os._exit(128 + received))
    from fedctl.interrupts import INTERRUPTS
    from fedctl.program import run

    INTERRUPTS.install()
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
