"""Prefix trees over token ids: the legal values of a field, one token at a time.

A value ends with its newline, so no value is the beginning of another: of 30 and 300 the first goes on with a newline,
the second with a digit, and the model chooses between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Node(NamedTuple):
    """What may follow the tokens that led here; nothing where a value is complete. `depth` is the most that can."""

    children: dict[int, Node]
    allowed: tuple[int, ...]
    depth: int


def build_tree(sequences: Iterable[Sequence[int]]) -> Node:
    """The tree of some token sequences, of which none begins another."""
    branches: dict[int, list[Sequence[int]]] = {}
    for sequence in sequences:
        if sequence:
            branches.setdefault(sequence[0], []).append(sequence[1:])
    children = {token: build_tree(rest) for token, rest in sorted(branches.items())}
    depth = max((1 + child.depth for child in children.values()), default=0)
    return Node(children, tuple(children), depth)
