"""Cover: a new version of a song, from its codes or its latents."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from torch import Tensor

from ..checks import check_choice
from .song_task import SongTask, SourceHold, check_share

CoverStructure: TypeAlias = Literal["codes", "latents"]


def cover_task(
    source: Tensor,
    samples: int,
    *,
    strength: float = 1.0,
    noise_strength: float = 0.0,
    structure: CoverStructure = "codes",
) -> SongTask:
    """A new version of a song.

    Args:
        source: latents [T, 64]. samples: of the song.
        strength: share of the steps that follow the source, 0..1; the others see the caption and lyrics alone.
        noise_strength: 0 starts from noise; towards 1 from ever more of the source's own sound (remix).
        structure: "codes" passes on melody, rhythm and form, "latents" the sound itself, closer to the source.
    """
    check_share("the cover strength", strength)
    check_share("the noise strength", noise_strength)
    check_choice("structure", structure, get_args(CoverStructure))
    return SongTask(
        "cover" if structure == "codes" else "cover-nofsq",
        samples,
        source,
        follow_share=strength,
        hold=SourceHold(noise_strength=noise_strength) if noise_strength else None,
    )
