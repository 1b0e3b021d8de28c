"""What was loaded, as the stages take it and as it travels on the wires between the nodes.

These are NamedTuples: immutable, cheap, and a host's memory policy finds the networks inside a tuple. Weights are
shared through the registry. The representations are short, because a host's error dialog prints every input of a failed
node.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .checkpoints.inspection import Size
from .checkpoints.registry import FileStamp
from .checkpoints.tokenizer import TextTokenizer
from .checkpoints.variants import Variant
from .lora.adapters import AppliedAdapter
from .models.audio_tokenizer import AudioTokenizer
from .models.condition_encoder import ConditionEncoder
from .models.dit import DiT
from .models.oobleck import Oobleck
from .models.qwen3 import Qwen3
from .planner.grammar import Grammar
from .runtime import Part


class AceModel(NamedTuple):
    """DiT, condition encoder and audio tokenizer of one checkpoint.

    Attributes:
        variant: decides the sampler's defaults. size: "2b" or "xl".
        audio_tokenizer: None in checkpoints converted without it.
        silence: the silence latent [1, T, 64].
        adapters: what `dit` adds to its weights, first put on first.
        files: what the networks were loaded from, adapters apart; of the others likewise.
        about: what its config says of it, for the user; empty for the published ones.
    """

    name: str
    size: Size
    variant: Variant
    dit: Part[DiT]
    condition_encoder: Part[ConditionEncoder]
    audio_tokenizer: Part[AudioTokenizer] | None
    silence: Tensor
    adapters: tuple[AppliedAdapter, ...] = ()
    files: tuple[FileStamp, ...] = ()
    about: str = ""

    def __repr__(self) -> str:
        model = f"ACE-Step 1.5 {self.size.upper()} {self.variant} ({self.name})"
        return " + ".join((model, *map(repr, self.adapters)))

    @property
    def dtype(self) -> torch.dtype:
        """What its networks compute in."""
        return self.dit.dtype


class AceTextEncoder(NamedTuple):
    """Qwen3 embedding model with its tokenizer."""

    name: str
    encoder: Part[Qwen3]
    tokenizer: TextTokenizer
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        return f"ACE-Step 1.5 text encoder ({self.name})"


class AceVae(NamedTuple):
    """Oobleck VAE."""

    name: str
    vae: Part[Oobleck]
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        return f"ACE-Step 1.5 VAE ({self.name})"


class AcePlanner(NamedTuple):
    """5 Hz language model with the grammar of its tokenizer.

    Attributes:
        adapters: what `lm` adds to its weights, first put on first.
    """

    name: str
    lm: Part[Qwen3]
    grammar: Grammar
    files: tuple[FileStamp, ...] = ()
    adapters: tuple[AppliedAdapter, ...] = ()

    def __repr__(self) -> str:
        return " + ".join((f"ACE-Step 1.5 planner ({self.name})", *map(repr, self.adapters)))

    @property
    def signature(self) -> str:
        """Which planner it is, with its adapters: what a song's record says of its plan."""
        return " + ".join((self.name, *map(repr, self.adapters)))
