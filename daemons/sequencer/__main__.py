"""`python -m daemons.sequencer --config /etc/federation/sequencer.toml`."""

import argparse
import asyncio
import logging
import ssl
import sys
from pathlib import Path

from daemons.sequencer.main import run
from daemons.sequencer.settings import SequencerSettings
from inventory.config import ConfigError
from ledger.errors import NoteInvalid

BAD_CONFIGURATION = 78  # EX_CONFIG: systemd does not try again (RestartPreventExitStatus)
DEFAULT_CONFIG = Path("/etc/federation/sequencer.toml")


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; what is wrong with its configuration goes to the journal in one line."""
    parser = argparse.ArgumentParser(prog="daemons.sequencer", description=__doc__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    try:
        settings = SequencerSettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        asyncio.run(run(settings))
    except (ConfigError, NoteInvalid) as error:
        sys.stderr.write(f"federation-sequencer: {error}\n")
        return BAD_CONFIGURATION
    except (OSError, ssl.SSLError) as error:
        sys.stderr.write(f"federation-sequencer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
