"""Replace the certificate authority, one stage a run, or take that back.

The stages are `trust.succession`'s. Between the first and the second, people must act: whoever
calls a gateway knows it by `ca.pem`, and needs the new one before gateways show certificates of the
new authority. So a run carries out one stage and stops. A run that finds nodes behind what the
operator's files say only brings them up to it: the stage before was cut off, and its advice unread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from trust.succession import State, Succession

AGAIN = "fedctl secrets rotate authority-key"
NEXT = {
    State.ALONE: "every node trusts one authority and has its certificate",
    State.TRUSTED: "every node trusts both authorities, and the old one still signs. Give {ca} to "
    f"everybody who calls a gateway, then run `{AGAIN}` again: the new one then signs",
    State.SIGNING: "every node has a certificate of the new authority, and the old one is still "
    f"trusted. Run `{AGAIN}` again to drop the old one, for good; --undo goes back to it",
}


@dataclass
class AuthorityRotation:
    """One run. `follow` makes every node what the operator's files say, raises unless all are, and
    says whether any was not; `tell` hears each step.
    """

    succession: Succession
    follow: Callable[[], bool]
    tell: Callable[[str], None]
    steps: list[str] = field(default_factory=list)

    def forward(self, now: datetime) -> State:
        """The next stage, and where that leaves it; raises AuthorityBroken and as `follow`."""
        state = self.succession.state()
        if state in (State.BEGUN, State.DROPPING):
            # Cut off between two files: nodes have followed what was before.
            return self._finish(state, now)
        if self.follow():
            self._told("nodes had not followed the stage before; they have now, nothing else began")
            return state
        return self._finish(state, now)

    def backward(self) -> State:
        """Back to the authority before, in one run; it never undoes a drop."""
        state = self.succession.state()
        if state is State.SIGNING:
            self.succession.back()
            self._told("the old authority signs again")
            state = State.TRUSTED
        if state in (State.TRUSTED, State.ALONE):
            self.follow()  # all have certificates of the one that signs, before the other goes
        if state is State.ALONE:
            self._told("there is one authority: nothing to take back")
        elif state is State.DROPPING:
            self._told("one of the two was being dropped, which cannot be taken back")
            self._drop()
        else:
            self._drop()
        return self.succession.state()

    def _finish(self, state: State, now: datetime) -> State:
        if state in (State.ALONE, State.BEGUN):
            self.succession.begin(now)
            self._told("a new authority is there, and signs nothing yet")
            self.follow()
            self._told("every node trusts both")
        elif state is State.TRUSTED:
            self.succession.switch()
            self._told("the new authority signs")
            self.follow()
            self._told("every node has a certificate of the new authority")
        else:
            self._drop()
        return self.succession.state()

    def _drop(self) -> None:
        self.succession.drop()
        self._told("the key of the authority that does not sign is gone")
        self.follow()
        self._told("no node trusts it any more")

    def _told(self, text: str) -> None:
        self.steps.append(text)
        self.tell(text)
