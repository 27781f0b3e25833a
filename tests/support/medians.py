"""Whether chance alone explains that two series of pairs differ."""

import random
import statistics


def p_value(one: list[float], other: list[float], rng: random.Random) -> float:
    """How often chance alone moves the medians as far apart (pairs are swapped at random)."""
    gap = abs(statistics.median(one) - statistics.median(other))
    pairs, rounds, further = list(zip(one, other, strict=True)), 3000, 0
    for _ in range(rounds):
        swapped = [(b, a) if rng.random() < 0.5 else (a, b) for a, b in pairs]
        left, right = zip(*swapped, strict=True)
        further += abs(statistics.median(left) - statistics.median(right)) >= gap
    return (further + 1) / (rounds + 1)
