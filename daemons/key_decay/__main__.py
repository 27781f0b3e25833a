"""`python -m daemons.key_decay --config /etc/federation/key-decay.toml`: one run, then it ends."""

import os
import sys

from daemons.key_decay.main import run
from daemons.key_decay.settings import KeyDecaySettings
from daemons.program import Program
from inventory.config import ConfigError
from ledger.errors import LedgerError
from trust.errors import TrustError

# 0 when every key that was due is settled.
main = Program(
    "key-decay",
    __doc__,
    KeyDecaySettings.read,
    lambda settings: run(settings, dict(os.environ)),
    failed=(ConfigError, LedgerError, TrustError),
).main


if __name__ == "__main__":
    sys.exit(main())
