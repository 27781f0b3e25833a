"""How this operator reaches the log and its witnesses, and whose keys are believed about them.

Keys come from the operator's home alone (`ledger.vkey`, `witnesses/`): what a database says about
keys is no reason to believe it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploys import witnesses as known
from deploys.authority import client_pair
from deploys.log_key import vkey_path
from deploys.witnesses import Witness
from fedctl.errors import MissingPart
from fedctl.ledger_client import OPERATOR, Ledger
from inventory.home import Home
from inventory.model import Federation
from ledger.connect import Settings
from ledger.note import VerifierKey
from ledger.policy import Policy


@dataclass(frozen=True)
class LogAccess:
    """The database, the log's key, the witnesses whose keys are pinned, and our certificate."""

    settings: Settings
    log: VerifierKey
    witnesses: tuple[Witness, ...]
    memory: Path
    authority: Path
    certificate: Path
    key: Path

    @property
    def policy(self) -> Policy:
        """The log's key and more than half of the witnesses."""
        return policy_of(self.log, self.witnesses)


def reach(federation: Federation, home: Home, now: Callable[[], datetime]) -> LogAccess:
    """Raises MissingPart before the first apply, AuthorityMissing, Unavailable."""
    key, certificate = client_pair(home, OPERATOR, now())
    return LogAccess(
        settings=Ledger(federation, home, now).settings(),
        log=log_key(home),
        witnesses=known.witnesses(federation, home),
        memory=home.root / "ledger-verified.json",
        authority=home.authority / "ca.pem",
        certificate=certificate,
        key=key,
    )


def federation_policy(federation: Federation, home: Home) -> Policy:
    """Whom this federation believes about its log; asks nobody. Raises MissingPart."""
    return policy_of(log_key(home), known.witnesses(federation, home))


def policy_of(log: VerifierKey, witnesses: tuple[Witness, ...]) -> Policy:
    """The log's key and more than half of these witnesses."""
    return Policy.of(log, {each.node: VerifierKey.parse(each.vkey) for each in witnesses})


def log_key(home: Home) -> VerifierKey:
    """The log's public key; raises MissingPart when the log has none yet."""
    path = vkey_path(home)
    try:
        return VerifierKey.parse(path.read_text())
    except FileNotFoundError as error:
        raise MissingPart(
            f"the log's public key, {path}, is not there", "it is made by the first `fedctl apply`"
        ) from error
