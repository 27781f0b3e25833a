"""What the data nodes say of their replication, and what follows from it. Pure.

A commit is acknowledged when `needed` of the synchronous standbys have it. So whoever wants to know
the newest acknowledged write without the leader must hear all of them but `needed` - 1: among
fewer, none may have it. That rule decides whether a failover is safe.
"""

from dataclasses import dataclass

LEADER_ROLES = frozenset({"leader", "standby_leader"})
SYNCHRONOUS_ROLES = frozenset({"sync_standby", "quorum_standby"})
RUNNING = frozenset({"running", "streaming"})


@dataclass(frozen=True)
class Member:
    """A data node as a whole. `answers`: its Patroni does; `lsn` in bytes, what it has received.

    `role` and `state` are Patroni's words for it, as the others know them too; `lag_bytes` is None
    where it has no meaning or is not known.
    """

    name: str
    answers: bool
    role: str = ""
    state: str = ""
    timeline: int | None = None
    lsn: int | None = None
    lag_bytes: int | None = None
    etcd: bool = False

    @property
    def leads(self) -> bool:
        """Whether it leads."""
        return self.role in LEADER_ROLES

    @property
    def synchronous(self) -> bool:
        """Whether commits may count it."""
        return self.role in SYNCHRONOUS_ROLES

    @property
    def good(self) -> bool:
        """Whether it does its part: leads or follows, and says so itself."""
        return self.answers and self.state in RUNNING


@dataclass(frozen=True)
class View:
    """All data nodes at one moment. `needed` standbys must have a commit; 0 without replication.

    `synchronous` are the names the last leader counted on, whether they answer or not.
    """

    members: tuple[Member, ...]
    needed: int = 0
    synchronous: tuple[str, ...] = ()

    @property
    def leader(self) -> Member | None:
        """Who leads, if somebody does and says so."""
        return next((m for m in self.members if m.leads and m.good), None)

    def member(self, name: str) -> Member | None:
        """The member called `name`."""
        return next((m for m in self.members if m.name == name), None)

    def problems(self) -> tuple[str, ...]:
        """What is wrong, the worst first; empty when all is well."""
        found = []
        majority = len(self.members) // 2 + 1
        voting = [m for m in self.members if m.etcd]
        if len(voting) < majority:
            found.append(
                f"etcd has no majority: {len(voting)} of {len(self.members)} members are healthy"
            )
        if self.leader is None:
            found.append("nobody leads: the ledger takes no writes")
        ready = [m for m in self.members if m.synchronous and m.good]
        if self.leader is not None and len(ready) < self.needed:
            found.append("no synchronous standby: writes wait until one is back")
        found += [f"{m.name}: Patroni does not answer" for m in self.members if not m.answers]
        found += [
            f"{m.name}: {m.role or 'no role'}, {m.state or 'no state'}"
            for m in self.members
            if m.answers and not m.good
        ]
        if len(voting) >= majority:
            found += [f"{m.name}: etcd is not healthy" for m in self.members if not m.etcd]
        return tuple(found)


@dataclass(frozen=True)
class Choice:
    """Who should lead next. `reason`: why nobody can, or why acknowledged writes could be lost."""

    member: Member | None
    safe: bool
    reason: str = ""


def successor(view: View, to: str | None = None) -> Choice:
    """Who takes over from a leader that is well: `to`, or the synchronous standby furthest on."""
    ready = [m for m in view.members if m.synchronous and m.good]
    if to is not None:
        chosen = next((m for m in ready if m.name == to), None)
        if chosen is None:
            return Choice(None, False, f"{to} is not a synchronous standby that follows")
        return Choice(chosen, True)
    if not ready:
        return Choice(None, False, "no synchronous standby follows: nobody can take over")
    return Choice(min(ready, key=lambda m: (m.lag_bytes or 0, m.name)), True)


def heir(view: View, to: str | None = None) -> Choice:
    """Who takes over when nobody leads, and whether every acknowledged write is surely there."""
    standing = [m for m in view.members if m.answers and m.lsn is not None]
    if to is not None:
        standing_there = [m for m in standing if m.name == to]
        if not standing_there:
            return Choice(None, False, f"{to} does not answer, or has no data")
        chosen = standing_there[0]
    elif standing:
        chosen = max(standing, key=lambda m: (m.timeline or 0, m.lsn or 0, m.name))
    else:
        return Choice(None, False, "no data node answers")
    heard = [m for m in standing if m.name in view.synchronous]
    wanted = len(view.synchronous) - view.needed + 1
    if not view.synchronous or len(heard) < wanted:
        return Choice(
            chosen,
            False,
            f"{len(heard)} of the {len(view.synchronous)} standbys that commits waited for answer, "
            f"{max(wanted, 1)} are needed to know the newest write",
        )
    ahead = [m for m in heard if _position(m) > _position(chosen)]
    if ahead:
        return Choice(chosen, False, f"{ahead[0].name} is ahead of {chosen.name}")
    return Choice(chosen, True)


def _position(member: Member) -> tuple[int, int]:
    return member.timeline or 0, member.lsn or 0
