"""Writing the weights of a transformer layer by hand: values in the residual stream by name, switches, steps.

A residual stream of named values can hold a program as long as its norms do not disturb it. Constants much larger than
all values make the root mean square of the stream nearly a constant, `NORM`; norm weights take it out again, and every
layer reads the values as they are. A unit of the SwiGLU computes silu(gate) * up; with a gate that is far below or far
above zero it is a switch, silu(gate) = 0 or the gate itself.

Traps:
- What a switch passes is proportional to its gate, so all cases in which it is on must have the same sum.
- A sum that is off by 1 % is off by several in the next layer. So every number here is exact in bfloat16: `NORM`, `ONE`
  and `SHARPNESS` are powers of two, thresholds have few bits, and `BALLAST` fills the mean square up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

NORM = 64.0  # root mean square of the stream
ONE = "one"
BALLAST = ("ballast 0", "ballast 1")
USUAL_SQUARES = 300.0  # sum of the squares of all other values
SHARPNESS = 16.0  # a gate in the middle between on and off is this far from zero
Sum = Mapping[str, float]
"""A weighted sum of named values; `ONE` counts as 1."""


class Stream:
    """Names and places of the values in a residual stream, `ONE` and `BALLAST` at the end.

    Attributes:
        constant: what is in the place of `ONE`, the largest power of two that leaves something to the ballast.
    """

    def __init__(self, names: Sequence[str]) -> None:
        names = (*names, ONE, *BALLAST)
        if len(set(names)) != len(names):
            raise ValueError(f"names of values must differ, got {names}")
        self.places = {name: place for place, name in enumerate(names)}
        self.width = len(names)
        self.constant = 2.0 ** math.floor(math.log2(NORM * (self.width - 1) ** 0.5))

    def constants(self) -> Tensor:
        """The constant values [width] that a stream begins with."""
        constants = torch.zeros(self.width)
        constants[self.places[ONE]] = self.constant
        rest = NORM**2 * self.width - self.constant**2 - USUAL_SQUARES
        for name in BALLAST:
            value = float(torch.tensor(rest**0.5 * (1 - 2**-9)).bfloat16())  # rounded to what is not above it
            constants[self.places[name]] = value
            rest -= value**2
        return constants

    def without_constants(self) -> Tensor:
        """Norm weights [width] that read all values as they are, `ONE` as a one and `BALLAST` as nothing.

        A LoRA is trained on what they let through. Constants a thousand times as large as all else would drown it.
        """
        weights = torch.full((self.width,), NORM)
        weights[self.places[ONE]] = NORM / self.constant
        weights[[self.places[name] for name in BALLAST]] = 0
        return weights

    def __getitem__(self, name: str) -> int:
        return self.places[name]

    def row(self, values: Sum) -> Tensor:
        """Weights [width] that read a sum of values."""
        row = torch.zeros(self.width)
        for name, weight in values.items():
            row[self.places[name]] += weight / self.constant if name == ONE else weight
        return row

    def column(self, values: Sum) -> Tensor:
        """Weights [width] that add to values."""
        column = torch.zeros(self.width)
        for name, weight in values.items():
            column[self.places[name]] += weight
        return column


@dataclass
class FeedForward:
    """The units of one SwiGLU."""

    stream: Stream
    gates: list[Tensor] = field(default_factory=list)
    ups: list[Tensor] = field(default_factory=list)
    downs: list[Tensor] = field(default_factory=list)

    def switch(self, conditions: Sum, passed: Sum, to: Sum) -> None:
        """Add `passed` times the weights of `to`, where the sum of conditions is 1/2; nothing where it is <= -1/2."""
        self.gates.append(2 * SHARPNESS * self.stream.row(conditions))
        self.ups.append(self.stream.row(passed))
        self.downs.append(self.stream.column(to) / SHARPNESS)

    def all_of(self, conditions: Sum, passed: Sum, to: Sum) -> None:
        """`switch` for conditions of 0 or 1 each (or weights that must all be there): on where all are met."""
        whole = sum(weight for weight in conditions.values() if weight > 0)
        self.switch({**conditions, ONE: 0.5 - whole}, passed, to)

    def step(self, value: Sum, low: float, high: float, to: Sum) -> None:
        """Add the weights of `to` where a value is above `high`, nothing below `low`, and a part in between."""
        steepness = SHARPNESS / (high - low)
        for edge, sign in ((low, 1.0), (high, -1.0)):
            gate = dict(value)
            gate[ONE] = gate.get(ONE, 0.0) - edge
            self.gates.append(steepness * self.stream.row(gate))
            self.ups.append(self.stream.row({ONE: 1.0}))
            self.downs.append(sign * self.stream.column(to) / SHARPNESS)

    def weights(self, units: int) -> dict[str, Tensor]:
        """The three matrices with `units` units, those without a use at zero.

        Raises:
            ValueError: there are more units than that.
        """
        if len(self.gates) > units:
            raise ValueError(f"{len(self.gates)} units do not fit into {units}")
        empty = [torch.zeros(self.stream.width)] * (units - len(self.gates))
        return {
            "gate_proj.weight": torch.stack([*self.gates, *empty]),
            "up_proj.weight": torch.stack([*self.ups, *empty]),
            "down_proj.weight": torch.stack([*self.downs, *empty], dim=1),
        }
