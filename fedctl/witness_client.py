"""Ask the witnesses what they saw, over mutual TLS: every one of them, at the same time."""

import http.client
import json
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from deploys.witnesses import Witness
from fedctl.log_access import LogAccess
from ledger.errors import LedgerError
from ledger.note import VerifierKey
from ledger.testimony import Testimony, read
from trust.tls import client_context

SECONDS = 5.0
MAX_BYTES = 1024 * 1024


def ask_all(access: LogAccess) -> tuple[list[Testimony], dict[str, str]]:
    """What each witness says, and why of the others nothing is known."""
    if not access.witnesses:
        return [], {}
    with ThreadPoolExecutor(len(access.witnesses)) as pool:
        answers = list(pool.map(lambda each: _ask(access, each), access.witnesses))
    return _sorted_out(access.witnesses, answers)


def _sorted_out(
    witnesses: Sequence[Witness], answers: Sequence[Testimony | str]
) -> tuple[list[Testimony], dict[str, str]]:
    said = [answer for answer in answers if isinstance(answer, Testimony)]
    silent = {
        each.node: answer
        for each, answer in zip(witnesses, answers, strict=True)
        if isinstance(answer, str)
    }
    return said, silent


def _ask(access: LogAccess, witness: Witness) -> Testimony | str:
    """One witness's testimony, or why there is none."""
    context = client_context(access.authority, access.certificate, access.key)
    try:
        value = _get(witness, context)
        return read(witness.node, VerifierKey.parse(witness.vkey), (access.log,), value)
    except (OSError, http.client.HTTPException, ValueError, LedgerError) as error:
        return str(error) or type(error).__name__


def _get(witness: Witness, context: ssl.SSLContext) -> object:
    connection = http.client.HTTPSConnection(
        witness.address, witness.port, timeout=SECONDS, context=context
    )
    try:
        connection.request("GET", "/state")
        response = connection.getresponse()
        body = response.read(MAX_BYTES)
        if response.status != 200:
            raise ValueError(f"it answers {response.status}")
        return json.loads(body)
    finally:
        connection.close()
