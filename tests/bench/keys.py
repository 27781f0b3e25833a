"""`make bench-keys`: what each kind of key loses to each attacker, what its holder suffers, and
how long the hourly turn over 100,000 keys and answers about keys take.

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

from tests.bench import key_answers, key_decay
from tests.bench import key_signals as signals
from tests.bench.key_contestants import Judge, Ours, Seed, Static
from tests.bench.key_signals import Habit, every
from tests.bench.key_world import Attack, Outcome, World
from tests.bench.machine import machine

RUNS = 30
PAGE = Path(__file__).with_name("keys_page.md")
RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "keys.md"
JUDGES: dict[str, Callable[[], Judge]] = {"static": Static, "seed": Seed, "ours": Ours}
ALL_DAY, OFFICE_HOURS = range(24), range(9, 17)

STUFFED = "credential stuffing, right secret, used around the clock"

# Title, the seed's claim for its kind, the attack, days simulated.
ATTACKS: list[tuple[str, str, Attack, int]] = [
    ("brute force: 10,000 guesses an hour", "99.7", Attack(7, wrong_secrets_an_hour=10_000), 75),
    ("credential stuffing, wrong secret: 10 an hour", "94.3", Attack(7, 10), 75),
    (STUFFED, "94.3", Attack(14, 0, ALL_DAY, 0.05), 75),
    (
        "the same, and the holder never replaces the key",
        "94.3",
        Attack(14, 0, ALL_DAY, 0.05, holder_replaces=False),
        75,
    ),
    (
        "the same, at a quarter of the rate and without probing",
        "94.3",
        Attack(14, 0, ALL_DAY, takes=0.25, holder_replaces=False),
        75,
    ),
    (
        "the same, at the full rate, from the holder's own network",
        "94.3",
        Attack(14, 0, ALL_DAY, elsewhere=False, holder_replaces=False),
        75,
    ),
    (
        "the same, at a quarter of the rate, from the holder's own network",
        "94.3",
        Attack(14, 0, ALL_DAY, takes=0.25, elsewhere=False, holder_replaces=False),
        75,
    ),
    (
        "insider who probes and hoards",
        "87.8",
        Attack(14, 0, OFFICE_HOURS, 0.3, elsewhere=False),
        75,
    ),
    (
        "insider who does only what is allowed, at a quarter of the rate",
        "87.8",
        Attack(14, 0, OFFICE_HOURS, takes=0.25, elsewhere=False),
        75,
    ),
    (
        "passive: copied, key forgotten, used after 60 to 180 days",
        "78.4",
        Attack(7, 0, ALL_DAY, first_day=(90, 210), holder_leaves=30),
        30,
    ),
    (
        "the same, but the thief rotates the key and waits a week",
        "78.4",
        Attack(14, 0, ALL_DAY, first_day=(90, 210), holder_leaves=30, rotates_and_waits_days=7),
        30,
    ),
    (
        "passive: copied, key forgotten, used after 15 to 45 days at a quarter of the rate",
        "78.4",
        Attack(7, 0, ALL_DAY, takes=0.25, first_day=(45, 75), holder_leaves=30),
        30,
    ),
    (
        "passive: copied, key still in use",
        "78.4",
        Attack(7, 0, ALL_DAY, first_day=(90, 120)),
        130,
    ),
]
AT_WORK = Habit(signals.office, signals.usual)
HOLDERS: list[tuple[str, Habit, int]] = [
    ("office hours", AT_WORK, 180),
    ("office hours, three weeks away", Habit(signals.office_with_holiday, signals.usual), 180),
    ("a job every day", Habit(every(1), signals.usual), 180),
    ("a job every week", Habit(every(7), signals.usual), 180),
    ("a job every 30 days", Habit(every(30), signals.usual), 180),
    ("a job every 90 days", Habit(every(90), signals.usual), 360),
    (
        "office hours, a laptop that moves",
        Habit(signals.office, signals.usual, signals.moving),
        180,
    ),
    (
        "office hours, and two hours a day on a train",
        Habit(signals.with_train, signals.usual, signals.on_a_train),
        180,
    ),
    (
        "office hours at two offices that are no site",
        Habit(signals.office, signals.usual, signals.two_offices),
        180,
    ),
    (
        "office hours, and a night of batch work every 30 days",
        Habit(signals.with_nights, signals.batch_by_night),
        180,
    ),
    (
        "office hours, fifty times the work from one day on",
        Habit(signals.office, signals.grown),
        180,
    ),
]


def main() -> int:
    """Simulate, print the tables, save them."""
    begun = time.process_time()
    attacks = [
        (title, claim, {name: total(name, AT_WORK, attack, days) for name in JUDGES})
        for title, claim, attack, days in ATTACKS
    ]
    holders = [
        (title, {name: total(name, habit, Attack(), days) for name in JUDGES})
        for title, habit, days in HOLDERS
    ]
    simulated = time.process_time() - begun
    turns = key_decay.measure()
    text = page(attacks, holders, simulated, turns, key_answers.measure())
    sys.stdout.write(text)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    return 0


def total(name: str, habit: Habit, attack: Attack, days: int) -> Outcome:
    """The sums over all runs; run n has the same seed for every kind of key."""
    runs = [
        astuple(World(JUDGES[name](), random.Random(n), attack, days).run(habit))  # noqa: S311
        for n in range(RUNS)
    ]
    return Outcome(*(sum(column) for column in zip(*runs, strict=True)))


def page(
    attacks: list[tuple[str, str, dict[str, Outcome]]],
    holders: list[tuple[str, dict[str, Outcome]]],
    seconds: float,
    turns: list[key_decay.Turn],
    answers: key_answers.Answers,
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
    least_p, least_pair = key_answers.least_p(answers)
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
        refusals=key_answers.refusals_table(answers),
        least_p=least_p,
        least_pair=least_pair,
        asked=key_answers.ASKED,
        own=key_answers.own_table(answers),
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
