"""A line over time in plain characters, with names for some heights. Pure."""

from collections.abc import Mapping, Sequence

HEIGHT = 12


def plot(
    values: Sequence[float], *, top: float, lines: Mapping[float, str], begins: str, ends: str
) -> str:
    """A column for each value, from 0 to `top`; `lines` are heights that are drawn and named."""
    if not values:
        return ""
    width = max((len(name) for name in lines.values()), default=0)
    marked = {_row(height, top): name for height, name in lines.items()}
    rows = []
    for row in range(HEIGHT - 1, -1, -1):
        name = marked.get(row, "")
        empty = "·" if name else " "
        cells = "".join("█" if _row(value, top) == row else empty for value in values)
        rows.append(f"{name:>{width}} │{cells}".rstrip())
    gap = " " * max(1, len(values) - len(begins) - len(ends))
    rows.append(f"{'':>{width}} └{'─' * len(values)}")
    rows.append(f"{'':>{width}}  {begins}{gap}{ends}")
    return "\n".join(rows)


def _row(value: float, top: float) -> int:
    return max(0, min(HEIGHT - 1, int(value / top * HEIGHT)))
