"""How a command can end other than well. Which exit code each gets is decided in `exits`.

FedctlError
├── Refused               the command was not carried out, on purpose
│   ├── NeedsYes          it would destroy or change something and nobody could be asked
│   ├── Declined          a person was asked and said no
│   └── NotHere           it makes no sense for this inventory (lab verbs at a site)
├── Locked                another operator is changing the fleet
├── LockLost              this run's lock was broken or expired while it worked
├── NoMajority            too few nodes answer to hold the fleet lock
├── RunEnded              a deploy ended with something other than success
├── RemoteExit            a command ended with this code on some node
├── ChecksFailed          doctor, `inventory check` or `ledger verify` found something
├── TooFewWitnesses       the log fits together, but too few witnesses said that it is theirs
├── NoSuchEvent           the log has no such event
├── NotHealthy            a service did not become healthy in time
├── ChatFailed            a gateway gave no answer, or not all of it
│   └── NoGateway         none of them could be reached
├── WrongCard             a custody card that cannot be read, or is not the one that is needed
├── GuardianAway          the guardian did not answer, or not as a guardian does
├── NoSuchRun             there is no run of that name
└── MissingPart           a file or program this machine should have is not there
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploys.protocol import Outcome


class FedctlError(Exception):
    """Base of everything this package raises on purpose; `advice` says what to do next."""

    advice = ""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        if advice:
            self.advice = advice


class Refused(FedctlError):
    """The command was not carried out, on purpose."""


class NeedsYes(Refused):
    """A destructive command off a terminal, without the flag that answers for a person."""


class Declined(Refused):
    """A person was asked and said no."""


class NotHere(Refused):
    """A command that makes no sense for this inventory."""


@dataclass(frozen=True)
class Holder:
    """Who holds the fleet lock. Times are UTC in ISO 8601, by the nodes' clocks."""

    owner: str
    reason: str
    run: str
    since: str
    until: str


class Locked(FedctlError):
    """Another operator is changing the fleet."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        super().__init__(
            f"the fleet is locked by {holder.owner}: {holder.reason} "
            f"(since {holder.since}, until {holder.until} unless renewed)",
            "wait for them, look with `fedctl lock show`, or, when you know that they are gone, "
            "`fedctl lock break`",
        )


class LockLost(FedctlError):
    """The lock was broken or expired while this run worked."""


class NoMajority(FedctlError):
    """Too few nodes answer to hold the fleet lock; `causes` says why each does not."""

    def __init__(self, reached: int, needed: int, causes: Sequence[str], advice: str = "") -> None:
        self.causes = tuple(causes)
        lines = "".join(f"\n  {cause}" for cause in causes)
        super().__init__(
            f"{reached} of the nodes can be reached, {needed} are needed to lock the fleet:{lines}",
            f"{advice or 'bring the nodes back'}; --no-lock goes on without the lock, when you "
            "know that nobody else is at work",
        )


class RunEnded(FedctlError):
    """A deploy run ended with `outcome`, which is not success."""

    def __init__(self, outcome: "Outcome", message: str, advice: str = "") -> None:
        self.outcome = outcome
        super().__init__(message, advice)


class RemoteExit(FedctlError):
    """A command ended with `code`, the worst over all nodes."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


class ChecksFailed(FedctlError):
    """Something was checked and is not as it should be; what, was already shown."""


class TooFewWitnesses(FedctlError):
    """The log fits together, but not enough witnesses could be asked whether it is theirs."""


class NoSuchEvent(FedctlError):
    """The log has no event of this id or number."""


class NotHealthy(FedctlError):
    """A service did not become healthy in time."""


class ChatFailed(FedctlError):
    """A gateway gave no answer, or not all of it."""


class NoGateway(ChatFailed):
    """None of the gateways could be reached."""


class WrongCard(FedctlError):
    """A card that cannot be read, or that is not the one that is needed."""


class GuardianAway(FedctlError):
    """The guardian did not answer, or not as a guardian does."""


class NoSuchRun(FedctlError):
    """There is no run of that name."""


class MissingPart(FedctlError):
    """A file or program this machine should have is not there."""
