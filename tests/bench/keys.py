"""`make bench-keys`: what each kind of key loses to each attacker, what its holder suffers, and
how long the hourly turn over 100,000 keys takes.

A simulation, not a measurement of attacks in the wild: its numbers are worth what the stated models
are worth. It prints what comes out, also where ours is no better.
"""

import platform
import random
import sys
import time
from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import key_decay
from tests.bench.key_contestants import Judge, Ours, Seed, Static
from tests.bench.key_world import Attack, Hours, Outcome, World, every, office, office_with_holiday
from tests.bench.machine import machine

RUNS = 120
PAGE = Path(__file__).with_name("keys_page.md")
RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "keys.md"
JUDGES: dict[str, Callable[[], Judge]] = {"static": Static, "seed": Seed, "ours": Ours}
ALL_DAY, OFFICE_HOURS = range(24), range(9, 17)

# Title, the seed's claim for its kind, the attack, days simulated.
ATTACKS: list[tuple[str, str, Attack, int]] = [
    ("brute force: 10,000 guesses an hour", "99.7", Attack(7, wrong_secrets_an_hour=10_000), 75),
    ("credential stuffing, wrong secret: 10 an hour", "94.3", Attack(7, 10), 75),
    (
        "credential stuffing, right secret, used around the clock",
        "94.3",
        Attack(14, 0, ALL_DAY, 0.05, 0.1, 0.5),
        75,
    ),
    (
        "the same, and the holder never replaces the key",
        "94.3",
        Attack(14, 0, ALL_DAY, 0.05, 0.1, 0.5, holder_replaces=False),
        75,
    ),
    (
        "the same, and the detector sees a tenth of that",
        "94.3",
        Attack(14, 0, ALL_DAY, 0.005, 0.01, 0.05, holder_replaces=False),
        75,
    ),
    ("insider who probes and hoards", "87.8", Attack(14, 0, OFFICE_HOURS, 0.3, 0.1), 75),
    ("insider who does only what is allowed", "87.8", Attack(14, 0, OFFICE_HOURS), 75),
    (
        "passive: copied, key forgotten, used after 60 to 180 days",
        "78.4",
        Attack(7, 0, ALL_DAY, 0.0, 0.1, 0.0, (90, 210), 30),
        30,
    ),
    (
        "the same, but the thief rotates the key and waits a week",
        "78.4",
        Attack(14, 0, ALL_DAY, 0.0, 0.1, 0.0, (90, 210), 30, rotates_and_waits_days=7),
        30,
    ),
    (
        "passive: copied, key forgotten, used after 15 to 45 days, never noticed",
        "78.4",
        Attack(7, 0, ALL_DAY, 0.0, 0.0, 0.0, (45, 75), 30),
        30,
    ),
    (
        "passive: copied, key still in use",
        "78.4",
        Attack(7, 0, ALL_DAY, 0.0, 0.1, 0.5, (90, 120)),
        130,
    ),
]
HOLDERS: list[tuple[str, Hours, int]] = [
    ("office hours", office, 180),
    ("office hours, three weeks away", office_with_holiday, 180),
    ("a job every day", every(1), 180),
    ("a job every week", every(7), 180),
    ("a job every 30 days", every(30), 180),
    ("a job every 90 days", every(90), 360),
]


def main() -> int:
    """Simulate, print the tables, save them."""
    begun = time.process_time()
    attacks = [
        (title, claim, {name: total(name, office, attack, days) for name in JUDGES})
        for title, claim, attack, days in ATTACKS
    ]
    holders = [
        (title, {name: total(name, hours, Attack(), days) for name in JUDGES})
        for title, hours, days in HOLDERS
    ]
    simulated = time.process_time() - begun
    turns = key_decay.measure()
    text = page(attacks, holders, simulated, turns)
    sys.stdout.write(text)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    return 0


def total(name: str, hours: Hours, attack: Attack, days: int) -> Outcome:
    """The sums over all runs; run n has the same seed for every kind of key."""
    runs = [
        astuple(World(JUDGES[name](), random.Random(n), attack, days).run(hours))  # noqa: S311
        for n in range(RUNS)
    ]
    return Outcome(*(sum(column) for column in zip(*runs, strict=True)))


def page(
    attacks: list[tuple[str, str, dict[str, Outcome]]],
    holders: list[tuple[str, dict[str, Outcome]]],
    seconds: float,
    turns: list[key_decay.Turn],
) -> str:
    """The result as a page of Markdown."""
    losses = "\n".join(
        f"| {title} | {claim} | "
        + " | ".join(f"{by[name].stolen / RUNS:.1f}" for name in JUDGES)
        + f" | {prevented(by, 'seed')} | {prevented(by, 'ours')} | "
        + " | ".join(
            share(by[name].hurt_under_attack, by[name].uses_under_attack) for name in JUDGES
        )
        + " |"
        for title, claim, by in attacks
    )
    suffering = "\n".join(
        f"| {title} | "
        + " | ".join(
            " | ".join(
                (
                    share(by[name].weakened, by[name].uses),
                    share(by[name].slowed, by[name].uses),
                    share(by[name].refused, by[name].uses),
                    f"{by[name].replaced / RUNS:.2f}",
                )
            )
            for name in ("seed", "ours")
        )
        + " |"
        for title, by in holders
    )
    count = RUNS * len(JUDGES) * (len(ATTACKS) + len(HOLDERS))
    return PAGE.read_text().format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        python=platform.python_version(),
        count=f"{count:,}",
        runs=RUNS,
        seconds=seconds,
        losses=losses,
        suffering=suffering,
        keys=f"{key_decay.KEYS:,}",
        slowest=max(turn.seconds for turn in turns),
        turns=key_decay.table(turns),
    )


def prevented(by: dict[str, Outcome], name: str) -> str:
    """How much less was stolen than from a static key; nothing to prevent is said, not counted."""
    least = by["static"].stolen
    return "nothing to steal" if least == 0 else f"{100 * (1 - by[name].stolen / least):.1f}"


def share(part: int, whole: int) -> str:
    """A percentage, or a dash where nobody asked."""
    return f"{100 * part / whole:.1f}" if whole else "-"


if __name__ == "__main__":
    sys.exit(main())
