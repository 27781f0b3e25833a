"""One test from beginning to end: clean, restore, look, say, record, clean."""

import logging

from daemons.restore_test.decide import Measured, sentence
from daemons.restore_test.shell import Bench
from ledger.errors import LedgerError

LOG = logging.getLogger(__name__)


def run(bench: Bench) -> tuple[Measured, bool]:
    """The test, and whether the ledger was told. Figures are written in any case."""
    bench.clean()
    try:
        measured = bench.test()
    finally:
        bench.clean()
    bench.publish(measured)
    LOG.log(logging.INFO if measured.passed else logging.ERROR, "%s", sentence(measured))
    try:
        bench.record(measured)
    except LedgerError as error:
        LOG.error("the ledger was not told of the restore test: %s", error)
        return measured, False
    return measured, True
