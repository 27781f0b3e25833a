"""Admission without limits: only the engines bound what a key may ask."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.answers import Header
from gateway.seams import Principal
from gateway.usage import Usage


@dataclass(frozen=True, slots=True)
class Nothing:
    """A reservation of nothing (seams.Reservation)."""

    headers: Sequence[Header] = ()

    def settle(self, usage: Usage | None) -> None:
        """See seams.Reservation."""


class Unlimited:
    """See seams.Admission."""

    _nothing = Nothing()

    async def admit(
        self,
        principal: Principal,  # noqa: ARG002
        model: str,  # noqa: ARG002
        prompt_estimate: int,  # noqa: ARG002
        max_tokens: int | None,  # noqa: ARG002
    ) -> Nothing:
        """See seams.Admission."""
        return self._nothing
