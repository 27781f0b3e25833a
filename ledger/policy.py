"""Whom to believe: a C2SP tlog-policy file, and whether a checkpoint satisfies it. Pure.

    log <vkey> [url]
    witness <name> <vkey> [url]
    group <name> all|any|<k> <name>...
    quorum <name>|none

A checkpoint is believed when one of the logs signed it and the quorum's witnesses cosigned it. A
witness is known by its key, never by its name alone, and no key counts twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ledger.errors import NoteInvalid, PolicyInvalid
from ledger.note import Kind, Note, Signature, VerifierKey

NONE = "none"
LOG_KINDS = frozenset({Kind.ED25519})
WITNESS_KINDS = frozenset({Kind.COSIGNATURE_ED25519, Kind.COSIGNATURE_ML_DSA_44})
MAX_BYTES = 64 * 1024
MAX_ENTRIES = 64


@dataclass(frozen=True)
class Group:
    """`threshold` of `members` (names of witnesses or of groups before it)."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """Who vouches for a checkpoint. `cosigned` is Unix seconds by witness; `refusal` says why the
    policy is not satisfied, and is empty when it is."""

    log: str
    cosigned: Mapping[str, int]
    refusal: str


@dataclass(frozen=True)
class Policy:
    """Logs, witnesses by name, groups by name, and the name that is the quorum."""

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, Group]
    quorum: str

    @classmethod
    def of(
        cls, log: VerifierKey, witnesses: Mapping[str, VerifierKey], threshold: int | None = None
    ) -> Self:
        """One log and `threshold` of these witnesses (default: more than half; none of none)."""
        if not witnesses:
            return cls((log,), {}, {}, NONE)
        wanted = len(witnesses) // 2 + 1 if threshold is None else threshold
        if not 0 <= wanted <= len(witnesses):
            raise PolicyInvalid(f"{wanted} of {len(witnesses)} witnesses cannot be")
        if wanted == 0:
            return cls((log,), dict(witnesses), {}, NONE)
        name = "federation"
        while name in witnesses:
            name += "-witnesses"
        return cls((log,), dict(witnesses), {name: Group(wanted, tuple(witnesses))}, name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy in a file's text; raises PolicyInvalid naming the line."""
        if len(text) > MAX_BYTES:
            raise PolicyInvalid(f"a policy of more than {MAX_BYTES} characters")
        reading = _Reading()
        for number, line in enumerate(text.split("\n"), 1):
            try:
                reading.line(line)
            except (PolicyInvalid, NoteInvalid) as error:
                raise PolicyInvalid(f"line {number}: {error}") from error
        if reading.quorum is None:
            raise PolicyInvalid("no quorum line")
        return cls(tuple(reading.logs), reading.witnesses, reading.groups, reading.quorum)

    def text(self) -> str:
        """The policy as a file."""
        lines = [f"log {key.text()}" for key in self.logs]
        lines += [f"witness {name} {key.text()}" for name, key in self.witnesses.items()]
        lines += [
            f"group {name} {group.threshold} {' '.join(group.members)}"
            for name, group in self.groups.items()
        ]
        return "\n".join([*lines, f"quorum {self.quorum}"]) + "\n"

    def judge(self, note: Note) -> Standing:
        """Who vouches for the checkpoint in `note`, and whether that is enough."""
        log = next((key.name for key in self.logs if _signatures(note, key)), "")
        cosigned: dict[str, int] = {}
        for name, key in self.witnesses.items():
            if given := _signatures(note, key):
                cosigned[name] = max(signature.timestamp for signature in given)
        return Standing(log, cosigned, self._refusal(log, note.text, cosigned))

    def _refusal(self, log: str, text: str, cosigned: Mapping[str, int]) -> str:
        origin = text.partition("\n")[0]
        if not log:
            return f"no log of the policy signed the checkpoint of {origin!r:.80}"
        if log != origin:
            return f"the checkpoint is of {origin!r:.80}, signed by the log {log!r:.80}"
        if self._met(self.quorum, cosigned):
            return ""
        have = ", ".join(sorted(cosigned)) or "nobody"
        return f"cosigned by {have}: that is not the policy's quorum ({self._described()})"

    def _met(self, name: str, cosigned: Mapping[str, int]) -> bool:
        if name == NONE or name in cosigned:
            return True
        group = self.groups.get(name)
        if group is None:
            return False
        return sum(self._met(member, cosigned) for member in group.members) >= group.threshold

    def _described(self) -> str:
        group = self.groups.get(self.quorum)
        if group is None:
            return self.quorum
        return f"{group.threshold} of {', '.join(group.members)}"


class _Reading:
    """What has been read so far; every name is defined once, before it is used."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()
        self._publics: set[bytes] = set()

    def line(self, text: str) -> None:
        if any(character < " " and character != "\t" for character in text):
            raise PolicyInvalid("a control character")
        words = text.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            return
        verbs = {"log": self._log, "witness": self._witness, "group": self._group}
        if words[0] == "quorum":
            self._quorum(words[1:])
        elif words[0] in verbs:
            if len(self.logs) + len(self.witnesses) + len(self.groups) >= MAX_ENTRIES:
                raise PolicyInvalid(f"more than {MAX_ENTRIES} logs, witnesses and groups")
            verbs[words[0]](words[1:])
        else:
            raise PolicyInvalid(f"{words[0]!r:.40} is none of log, witness, group, quorum")

    def _log(self, words: Sequence[str]) -> None:
        if len(words) not in (1, 2):
            raise PolicyInvalid("a log is its vkey and perhaps a URL")
        self.logs.append(self._key(words[0], LOG_KINDS))

    def _witness(self, words: Sequence[str]) -> None:
        if len(words) not in (2, 3):
            raise PolicyInvalid("a witness is a name, its vkey and perhaps a URL")
        self._new(words[0])
        self.witnesses[words[0]] = self._key(words[1], WITNESS_KINDS)

    def _group(self, words: Sequence[str]) -> None:
        if len(words) < 3:
            raise PolicyInvalid("a group is a name, a threshold and its members")
        name, threshold, *members = words
        self._new(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise PolicyInvalid(f"{member!r:.80} is not defined before")
            if member in self._members:
                raise PolicyInvalid(f"{member!r:.80} is in a group already")
            self._members.add(member)
        self.groups[name] = Group(_threshold(threshold, len(members)), tuple(members))

    def _quorum(self, words: Sequence[str]) -> None:
        if self.quorum is not None or len(words) != 1:
            raise PolicyInvalid("exactly one quorum line, with one name")
        if words[0] != NONE and words[0] not in self.witnesses and words[0] not in self.groups:
            raise PolicyInvalid(f"{words[0]!r:.80} is not defined before")
        self.quorum = words[0]

    def _new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyInvalid(f"{name!r:.80} is taken")

    def _key(self, text: str, kinds: frozenset[Kind]) -> VerifierKey:
        key = VerifierKey.parse(text)
        if key.kind not in kinds:
            raise PolicyInvalid(f"the key of {key.name!r:.80} is of another type, {key.kind:#04x}")
        if key.public in self._publics:
            raise PolicyInvalid(f"the key of {key.name!r:.80} is there twice")
        self._publics.add(key.public)
        return key


def _signatures(note: Note, key: VerifierKey) -> list[Signature]:
    """The lines of `note` that are really `key`'s; others' and bad ones count for nothing."""
    return [
        each
        for each in note.signatures
        if (each.name, each.key_id) == (key.name, key.key_id)
        and key.verifies(note.text, each.signature)
    ]


def _threshold(text: str, members: int) -> int:
    if text in ("all", "any"):
        return members if text == "all" else 1
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= members:
        raise PolicyInvalid(f"{text!r:.20} is no threshold for {members} members")
    return int(text)
