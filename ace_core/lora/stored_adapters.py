"""An adapter of one weight as it lies in a file: of which tensors it is made, and which weights it fits.

Traps:
- A whole LoKr (w1 and w2 not factored) has no rank in its shapes. LyCORIS writes alpha = dim then; the dim is in the
  header's `lokr_config`. peft scales these too, with the rank of its config.
- An OFT says how wide its weight is on one side only, and with shared blocks not even that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..checkpoints.files import CheckpointError, StoredTensor, name_some
from .adapters import AdapterKind
from .rotations import block_size

_FACTORS: dict[AdapterKind, tuple[tuple[tuple[str, ...], ...], ...]] = {  # for each matrix the ways to store it
    "lora": ((("up", "down"),),),
    "loha": ((("hada_w1_a", "hada_w1_b"),), (("hada_w2_a", "hada_w2_b"),)),
    "lokr": (
        (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b")),
        (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b")),
    ),
    "oft": ((("oft_blocks",),),),
    "oft_inputs": ((("oft_R",),),),
}
_EXTRAS: dict[AdapterKind, tuple[str, ...]] = {  # what may come with them
    "lora": ("alpha", "magnitude"),
    "loha": ("alpha", "magnitude"),
    "lokr": ("alpha", "magnitude"),
    "oft": ("alpha", "rescale"),
    "oft_inputs": (),
}
_DTYPES = ("F32", "F16", "BF16")


class StoredAdapter(NamedTuple):
    """An adapter of one weight; see `Adapter`.

    Attributes:
        spelled: the module as the file spells it.
        alpha: its scalar tensor, if there is one.
        rescale: of OFT, factors of the outputs.
    """

    kind: AdapterKind
    spelled: str
    factors: tuple[tuple[StoredTensor, ...], ...]
    alpha: StoredTensor | None
    magnitude: StoredTensor | None
    rescale: StoredTensor | None

    @property
    def rank(self) -> int | None:
        """Inner size of the factored matrices; None where all are whole."""
        return next((factor[1].shape[0] for factor in reversed(self.factors) if len(factor) == 2), None)

    @property
    def blocks(self) -> tuple[int, int] | None:
        """Number and size of the blocks of an OFT."""
        shape = self.factors[0][0].shape
        if self.kind == "oft":
            return shape[0], shape[1]
        return (shape[0], block_size(shape[1])) if self.kind == "oft_inputs" else None

    @property
    def shape(self) -> tuple[int | None, int | None]:
        """Shape of the adapted weight; None for what an OFT does not say."""
        if self.blocks is not None:
            width = self.blocks[0] * self.blocks[1]
            return (width, None) if self.kind == "oft" else (None, width)
        shapes = [(factor[0].shape[0], factor[-1].shape[1]) for factor in self.factors]
        return (shapes[0][0] * shapes[1][0], shapes[0][1] * shapes[1][1]) if self.kind == "lokr" else shapes[0]

    def fits(self, shape: tuple[int, ...] | None, *, shared: bool) -> bool:
        """Whether it can adapt a weight.

        Args:
            shape: of the weight; None where there is no such weight.
            shared: whether one block of an OFT of peft stands for as many as fit.
        """
        if shape is None or len(shape) != 2:
            return False
        if shared and self.kind == "oft_inputs" and self.blocks is not None:
            return shape[1] % self.blocks[1] == 0
        return all(mine in (None, width) for mine, width in zip(self.shape, shape, strict=True))


def stored_adapter(path: Path, weight: str, spelled: str, parts: Mapping[str, StoredTensor]) -> StoredAdapter:
    """The adapter that the parts of one weight make.

    Raises:
        CheckpointError: they are not complete, do not fit together, or are stored in another dtype.
    """
    for kind, choices in _FACTORS.items():
        for names in itertools.product(*choices):
            if {part for factor in names for part in factor} == parts.keys() - {*_EXTRAS[kind]}:
                factors = tuple(tuple(parts[part] for part in factor) for factor in names)
                extras = (parts.get(name) for name in ("alpha", "magnitude", "rescale"))
                stored = StoredAdapter(kind, spelled, factors, *extras)
                _check_tensors(path, stored)
                return stored
    raise CheckpointError(
        f"{path} holds {', '.join(sorted(parts))} for {weight}. That is no whole LoRA, LoHa, LoKr or OFT of a matrix; "
        "other kinds are not supported. Merge it into its model with the program that made it and load that."
    )


def tensors_of(stored: StoredAdapter) -> Iterator[StoredTensor]:
    """All tensors of an adapter."""
    yield from itertools.chain(*stored.factors)
    yield from filter(None, (stored.alpha, stored.magnitude, stored.rescale))


def _check_tensors(path: Path, stored: StoredAdapter) -> None:
    """Raise CheckpointError if tensors cannot be multiplied, an extra does not fit, or a dtype is none of the usual."""
    tensors = [*tensors_of(stored)]
    if stored.kind == "oft" and len(tensors[0].shape) == 4:
        raise CheckpointError(
            f"{path} is a BOFT adapter: {tensors[0].name} has four dimensions. BOFT is not supported; choose a LoRA, "
            "LoHa, LoKr or OFT, or merge it into its model with the program that made it and load that."
        )
    if not (_factors_fit(stored) and _extras_fit(stored)):
        shapes = name_some([f"{tensor.name} {list(tensor.shape)}" for tensor in tensors])
        raise CheckpointError(f"{path} holds tensors that do not fit together: {shapes}. Download it again.")
    for tensor in tensors:
        if tensor.dtype not in _DTYPES:
            raise CheckpointError(
                f"{path} holds {tensor.name} as {tensor.dtype}; an adapter is read in {', '.join(_DTYPES)}."
            )


def _factors_fit(stored: StoredAdapter) -> bool:
    if stored.kind == "oft":
        shape = stored.factors[0][0].shape
        return len(shape) == 3 and shape[1] == shape[2]
    tensors = [tensor for factor in stored.factors for tensor in factor]
    if not all(len(tensor.shape) == 2 for tensor in tensors):
        return False
    if stored.kind == "oft_inputs":
        return block_size(tensors[0].shape[1]) > 1
    products = [factor for factor in stored.factors if len(factor) == 2]
    if not all(first.shape[1] == second.shape[0] for first, second in products):
        return False
    return stored.kind != "loha" or len({(first.shape[0], second.shape[1]) for first, second in stored.factors}) == 1


def _extras_fit(stored: StoredAdapter) -> bool:
    rows, columns = stored.shape
    return (
        (stored.alpha is None or math.prod(stored.alpha.shape) == 1)
        and (stored.magnitude is None or stored.magnitude.shape in ((rows,), (rows, 1), (1, columns)))
        and (stored.rescale is None or stored.rescale.shape in ((rows,), (rows, 1)))
    )
