"""The `fedctl` program: everything between the shell and `cli`, ending in one exit code.

Imports are late on purpose: Ctrl-C in the first tenths of a second must end like any other.
"""

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    from fedctl.program import run

    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)


def _leave(*_: object) -> None:
    """Nothing is under way that must end in order; when it is, `interrupts` has the signals."""
    os.write(2, b"interrupted\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
