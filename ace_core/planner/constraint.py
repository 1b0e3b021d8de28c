"""What the decoding loop asks of a grammar: which tokens may follow, one state per sequence.

The loop knows nothing of the grammar behind it. A state that allows one token is obeyed without running the network;
a few tokens mean logits for those rows only; a mask means free text, and logits for all rows the mask covers.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Constraint(Protocol):
    """Grammar state of one sequence."""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be generated."""
        ...

    @property
    def greedy(self) -> bool:
        """Whether the most probable of a few allowed ids is taken, whatever the sampling parameters; not with masks."""
        ...

    def allowed(self) -> tuple[int, ...] | Tensor:
        """Ids that may come next, at least one.

        Returns:
            A tuple of ids (one id: forced), or a boolean mask [text rows] over the ids 0..rows-1. A mask is a shared
            tensor on the CPU that is built once, so two states with the same legal tokens return the same object.
        """
        ...

    def advance(self, token_id: int) -> None:
        """Take in the token that was chosen, one of `allowed`."""
        ...
