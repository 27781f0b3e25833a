"""`python -m daemons.sequencer --config /etc/federation/sequencer.toml`."""

import sys

from daemons.program import Program
from daemons.sequencer.main import run
from daemons.sequencer.settings import SequencerSettings
from inventory.config import ConfigError
from ledger.errors import NoteInvalid

main = Program(
    "sequencer", __doc__, SequencerSettings.read, run, bad=(ConfigError, NoteInvalid)
).main


if __name__ == "__main__":
    sys.exit(main())
