"""At which noise level t an example is shown, and how often without its conditions: what each kind of model wants.

Turbo was distilled to answer at eight levels, those of its shift (3), so it is trained at these, each as likely as the
others, as in the official trainer. Base and sft were trained at sigmoid(N(-0.4, 1)), the larger of two draws, as in the
official pre-training.

Base and sft are rendered with guidance, which asks for the velocity without conditions too, so 15 % of the examples
come with the null condition. Turbo is rendered without guidance and never sees it: dropping would only take examples
away. The official turbo trainer drops nothing either.
"""

from __future__ import annotations

import torch

from ..checkpoints.variants import Variant, is_distilled
from ..sampling.schedules import timesteps
from ..sampling.settings import DEFAULTS

LOGIT_MEAN = -0.4  # `timestep_mu` of the official config
LOGIT_DEVIATION = 1.0  # `timestep_sigma`
CONDITION_DROPOUT = 0.15


def draw_level(variant: Variant, generator: torch.Generator) -> float:
    """A noise level t, above 0 and at most 1."""
    if is_distilled(variant):
        levels = timesteps(DEFAULTS[variant].steps, DEFAULTS[variant].shift)[:-1]
        return levels[int(torch.randint(len(levels), (), generator=generator))]
    logits = LOGIT_MEAN + LOGIT_DEVIATION * torch.randn(2, generator=generator)
    return float(logits.sigmoid().max())


def condition_dropout(variant: Variant) -> float:
    """Share of the examples that a variant should see without conditions."""
    return 0.0 if is_distilled(variant) else CONDITION_DROPOUT
