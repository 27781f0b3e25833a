"""UUID version 7: the layout of RFC 9562, and an order that nothing in one process breaks."""

import os
import threading
import time
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.identifiers import (
    RANDOM_BITS,
    Sequence,
    milliseconds_of,
    new_id,
    new_text,
    uuid7,
)


def test_the_rfcs_own_example() -> None:
    """RFC 9562 appendix A.6: 2022-02-22 19:22:22 UTC, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    made = uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F)
    assert made == UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**RANDOM_BITS - 1))
def test_version_variant_and_time_are_where_they_belong(moment: int, random: int) -> None:
    made = uuid7(moment, random)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert milliseconds_of(made) == moment


@given(
    st.lists(st.integers(0, 50) | st.integers(0, 2**48 - 2), min_size=1, max_size=60),
    st.integers(0, 2**RANDOM_BITS - 1),
)
def test_a_text_is_that_of_the_uuid(clock: list[int], random: int) -> None:
    """Also where the random part is at its end, or at the end of its low bits."""
    made: list[list[str]] = []
    for spelt in (lambda ids: str(ids.next()), lambda ids: ids.next_text()):
        moments = iter(clock)
        ids = Sequence(lambda: next(moments), lambda bits: random >> (RANDOM_BITS - bits))  # noqa: B023
        made.append([spelt(ids) for _ in clock])
    assert made[0] == made[1]


def test_low_bits_at_their_end_carry_into_the_high_ones() -> None:
    ids, texts = (
        Sequence(lambda: 7, lambda bits: 5 if bits == 12 else (1 << bits) - 1) for _ in range(2)
    )
    first, second = ids.next(), ids.next()
    assert second.int >> 64 & 0xFFF == (first.int >> 64 & 0xFFF) + 1 == 6
    assert milliseconds_of(second) == 7
    assert [texts.next_text(), texts.next_text()] == [str(first), str(second)]


@pytest.mark.parametrize(("moment", "random"), [(-1, 0), (2**48, 0), (0, -1), (0, 2**74)])
def test_what_does_not_fit_is_refused(moment: int, random: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        uuid7(moment, random)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60), st.integers(0, 2**RANDOM_BITS - 1))
def test_ids_grow_whatever_the_clock_does(clock: list[int], random: int) -> None:
    """The clock stands still, steps back, jumps; the random part is even at its very end."""
    moments = iter(clock)
    ids = Sequence(lambda: next(moments), lambda bits: random >> (RANDOM_BITS - bits))
    made = [ids.next() for _ in clock]
    assert made == sorted(set(made))


def test_texts_and_uuids_are_of_one_order() -> None:
    ids = Sequence(lambda: 7)
    made = [str(ids.next()) if n % 2 else ids.next_text() for n in range(50)]
    assert made == sorted(set(made))


def test_a_full_random_part_borrows_from_the_next_millisecond() -> None:
    ids = Sequence(lambda: 7, lambda bits: (1 << bits) - 1)
    first, second = ids.next(), ids.next()
    assert (milliseconds_of(first), milliseconds_of(second)) == (7, 8)


def test_threads_share_one_order() -> None:
    ids, made = Sequence(), []

    def work() -> None:
        mine = [ids.next() for _ in range(500)]
        assert mine == sorted(mine)
        made.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


def test_a_new_id_is_of_now() -> None:
    assert abs(milliseconds_of(new_id()) - time.time() * 1000) < 60_000
    assert UUID(new_text()) < new_id()


def test_a_forked_child_makes_ids_of_its_own() -> None:
    ids = Sequence(lambda: 7)
    ids.next()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ids.next().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as heard:
        os.close(writing)
        assert heard.read(16) != ids.next().bytes
