"""Replace the pepper under which API keys are hashed, or take that back, step by step.

The steps are `trust.peppers`' to decide. Here: what the store has is always given to every gateway,
and working keys are counted after that, before a step that relies on either. So a run that was cut
off anywhere leaves a store that every key works with, and the same command goes on.

Digests are not made anew under the new pepper when a key is used: a gateway could do it only with
the right to write digests, and one that was taken over could then plant a secret of its own beside
any key (docs/decisions/0034-rotating-secrets.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploys.own_secrets import keep_peppers, peppers_of
from inventory.home import Home
from ledger.pepper_uses import PepperUse
from trust.peppers import Peppers, Step, backward, check_known, forward

DONE_WORDS = {
    "add": "pepper {} is there, and used for nothing yet",
    "promote": "new keys get pepper {}",
    "retire": "pepper {} is gone",
    "demote": "new keys get pepper {} again",
    "remove": "pepper {} is gone",
}
ENDS = frozenset({"retire", "remove"})


@dataclass(frozen=True)
class Ended:
    """How far it came: the steps done, in words; what the last look decided; who uses what."""

    steps: tuple[str, ...]
    last: Step
    uses: tuple[PepperUse, ...]


@dataclass
class PepperRotation:
    """One run. `uses` asks the ledger; `follow` gives all gateways what the store has, raises
    unless all of them have it, and says whether any had not; `ready` raises when gateways could
    not read two peppers yet; `tell` hears each step.
    """

    home: Home
    uses: Callable[[], Sequence[PepperUse]]
    follow: Callable[[], bool]
    ready: Callable[[], None]
    tell: Callable[[str], None]
    _steps: list[str] = field(default_factory=list)

    def run(self, *, undo: bool = False) -> Ended:
        """Go on, forward or back, as far as it goes now.

        Raises PepperUnknown for a store that is older than the federation, LedgerError, and what
        `follow` and `ready` raise.
        """
        decide = backward if undo else forward
        while True:
            self._live(peppers_of(self.home))  # nothing is given out that would stop a key
            behind = self.follow()
            peppers = peppers_of(self.home)
            uses, live = self._live(peppers)
            step = decide(peppers, live)
            if step.kind == "add" and behind:
                # A run that retired the last one was cut off before gateways followed.
                reason = f"gateways have followed: pepper {peppers.version} is the only one"
                return self._ended(Step("nothing", peppers.version, reason), uses)
            if step.kind in ("wait", "nothing"):
                return self._ended(step, uses)
            self._act(peppers, step, uses)
            if step.kind in ENDS and len(peppers_of(self.home).all) == 1:
                self.follow()
                return self._ended(step, uses)

    def _act(self, peppers: Peppers, step: Step, uses: Sequence[PepperUse]) -> None:
        if step.kind == "add":
            self.ready()
            wanted = peppers.with_new(max((use.version for use in uses), default=0))
            step = Step("add", wanted.versions[-1], step.reason)
        elif step.kind in ENDS:
            wanted = peppers.without(step.version)
        else:
            wanted = peppers.with_current(step.version)
        keep_peppers(self.home, wanted)
        said = DONE_WORDS[step.kind].format(step.version)
        self._steps.append(said)
        self.tell(f"{said} ({step.reason})")

    def _live(self, peppers: Peppers) -> tuple[tuple[PepperUse, ...], dict[int, int]]:
        uses = tuple(self.uses())
        live = {use.version: use.live for use in uses}
        check_known(peppers, live)
        return uses, live

    def _ended(self, last: Step, uses: Sequence[PepperUse]) -> Ended:
        return Ended(tuple(self._steps), last, tuple(uses))


def in_words(ended: Ended) -> str:
    """What a person is told at the end."""
    last = ended.last
    if last.kind == "wait":
        [use] = [use for use in ended.uses if use.version == last.version]
        until = f"; the last of them ends on {use.last_end:%Y-%m-%d}" if use.last_end else ""
        return (
            f"{last.reason}{until}. Run the same command again to drop pepper {last.version} then. "
            f"Their ids: {', '.join(use.examples)}"
        )
    if last.kind == "nothing":
        return last.reason
    return f"{'; '.join(ended.steps)}. Copy the store: older copies do not have what keys need"
