"""The peppers a federation has at a time, by version: usually one, two while one replaces another.

A key is verified under the version stored with it; a new key gets the current version. Rules that
make a rotation safe at every step, whoever stops where:

* a version is first *added*, known and used for nothing, and made current only when every gateway
  has it: no gateway ever meets a key it cannot judge;
* a version is *retired* only when no working key uses it;
* a number is never given twice, so that a digest never meets another pepper than its own.

What must be done next is decided here from values; who does it is `fedctl.pepper_rotation`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from trust.apikeys import Pepper, new_pepper_text
from trust.errors import InvalidPepper, PepperUnknown

FIRST = 1
CURRENT = "current"
Kind = Literal["add", "promote", "retire", "wait", "demote", "remove", "nothing"]


@dataclass(frozen=True)
class Peppers:
    """Every pepper in use, oldest first, and the version that new keys get."""

    all: tuple[Pepper, ...]
    version: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The peppers of a credential's text; raises InvalidPepper, which never repeats the text.

        One of version 1 is its 64 hexadecimal digits alone, as it always was. Otherwise each has a
        line with its number (and `current`, for one of them) and a line with its digits.
        """
        lines = text.split("\n")
        while lines and not lines[-1].strip():
            lines.pop()
        if len(lines) == 1:
            return cls((Pepper.parse(lines[0], FIRST),), FIRST)
        found, current = list[Pepper](), list[int]()
        for head, value in zip(lines[::2], [*lines[1::2], ""][: len(lines[::2])], strict=True):
            number, _, mark = head.partition(" ")
            if not (number.isascii() and number.isdigit() and len(number) < 7):
                raise InvalidPepper("a pepper's version is a number, on the line before it")
            if mark not in ("", CURRENT):
                raise InvalidPepper(f"after a pepper's version only {CURRENT!r} may stand")
            found.append(Pepper.parse(value, int(number)))
            current += [int(number)] if mark else []
        versions = [pepper.version for pepper in found]
        if len(current) != 1 or versions != sorted(set(versions)) or versions[:1] < [FIRST]:
            raise InvalidPepper("peppers have rising numbers from 1 on, and one of them is current")
        return cls(tuple(found), current[0])

    def text(self) -> str:
        """What `parse` reads."""
        if self.versions == (FIRST,):
            return _digits(self.all[0]) + "\n"
        blocks = [
            f"{each.version}{f' {CURRENT}' if each.version == self.version else ''}\n"
            f"{_digits(each)}\n"
            for each in self.all
        ]
        return "".join(blocks)

    @property
    def versions(self) -> tuple[int, ...]:
        """The numbers, rising."""
        return tuple(pepper.version for pepper in self.all)

    @property
    def current(self) -> Pepper:
        """What new keys are hashed under."""
        return next(pepper for pepper in self.all if pepper.version == self.version)

    def with_new(self, used: int = 0) -> Self:
        """One more, fresh and not current, numbered after these and after `used`, the highest
        version that any key ever had.
        """
        number = max(*self.versions, used) + 1
        fresh = Pepper.parse(new_pepper_text(), number)
        return type(self)((*self.all, fresh), self.version)

    def with_current(self, version: int) -> Self:
        """The same ones, of which new keys get `version`; raises PepperUnknown."""
        if version not in self.versions:
            raise PepperUnknown(f"there is no pepper {version}")
        return type(self)(self.all, version)

    def without(self, version: int) -> Self:
        """All but one that is not current; raises PepperUnknown."""
        if version not in self.versions or version == self.version:
            raise PepperUnknown(f"pepper {version} is current or not there: it cannot be dropped")
        left = tuple(pepper for pepper in self.all if pepper.version != version)
        return type(self)(left, self.version)


@dataclass(frozen=True)
class Step:
    """What comes next, with which version, and why; `wait` and `nothing` change nothing."""

    kind: Kind
    version: int
    reason: str


def check_known(peppers: Peppers, live: Mapping[int, int]) -> None:
    """Raises PepperUnknown when working keys use a version that is not here.

    Then this store is older than the federation: giving it to gateways would stop those keys.
    """
    unknown = [each for each in sorted(live) if live[each] and each not in peppers.versions]
    if unknown:
        raise PepperUnknown(
            f"{live[unknown[0]]} working keys use pepper {unknown[0]}, which is not in this store: "
            "it is older than the federation; put the newest copy of secrets/key-pepper.age back"
        )


def forward(peppers: Peppers, live: Mapping[int, int]) -> Step:
    """The next step of a rotation that gateways have followed so far; pure.

    `live`: how many working keys use each version. Every step assumes that all gateways have what
    the store has now; the caller sees to that before it acts.
    """
    newest = peppers.versions[-1]
    if len(peppers.all) == 1:
        return Step("add", newest + 1, "there is one pepper: a new one is added beside it")
    if peppers.version != newest:
        return Step("promote", newest, f"every gateway has pepper {newest}")
    return _retirable(peppers, live, "retire", "they work until they are rotated or end")


def backward(peppers: Peppers, live: Mapping[int, int]) -> Step:
    """The next step back to the oldest pepper; pure, as `forward`."""
    oldest = peppers.versions[0]
    if len(peppers.all) == 1:
        return Step("nothing", oldest, f"pepper {oldest} is the only one: nothing to take back")
    if peppers.version != oldest:
        return Step("demote", oldest, f"new keys get pepper {oldest} again")
    return _retirable(peppers, live, "remove", "rotate those keys, they then get the older one")


def _retirable(
    peppers: Peppers, live: Mapping[int, int], kind: Literal["retire", "remove"], hint: str
) -> Step:
    others = [version for version in peppers.versions if version != peppers.version]
    for version in others:
        if not live.get(version, 0):
            return Step(kind, version, f"no working key uses pepper {version}")
    number, version = live[others[0]], others[0]
    return Step("wait", version, f"{number} working keys use pepper {version}: {hint}")


def _digits(pepper: Pepper) -> str:
    return pepper.value.get_secret_value().hex()
