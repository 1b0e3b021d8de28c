"""One DiT step at the published 2B size against diffusers' transformer: same weights, 30 s of audio, 600 conditions.

Cases: `step` (turbo, no guidance), `guided` (base, conditional and unconditional velocity in one step). What we compute
once per run is not part of the step; it is reported as `setup_seconds`.
"""

from __future__ import annotations

import time

import torch
from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
from torch import nn

from ace_core.audio import latent_frames
from ace_core.models.dit import DiT, DiTConfig
from tests.networks import peer_state

from .common import PeakMemory, Result, interleaved_medians, parse_options, report

PUBLISHED_2B = DiTConfig(
    hidden_size=2048,
    intermediate_size=6144,
    num_layers=24,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
    condition_size=2048,
    in_channels=192,
    latent_channels=64,
    patch_size=2,
    sliding_window=128,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
DURATION_SECONDS = 30
CONDITION_TOKENS = 600
TIME = 0.75


def build_both(dtype: torch.dtype, device: torch.device) -> tuple[DiT, AceStepTransformer1DModel]:
    """Our network and the peer's over one set of seeded random weights."""
    generator = torch.Generator().manual_seed(0)
    ours = DiT(PUBLISHED_2B, ops=nn, device="meta")
    weights = {
        name: (torch.randn(parameter.shape, generator=generator) * 0.02).to(device, dtype)
        for name, parameter in ours.named_parameters()
    }
    ours.load_state_dict(weights, assign=True)
    with torch.device("meta"):
        peer = AceStepTransformer1DModel()
    peer_weights = peer_state(ours)
    del peer_weights["null_condition_emb"]
    peer.load_state_dict(peer_weights, assign=True)
    return ours.eval(), peer.eval()


@torch.inference_mode()
def main() -> None:
    options = parse_options("dit", ("step", "guided"))
    guided = options.case == "guided"
    ours, peer = build_both(options.dtype, options.device)
    frames = latent_frames(DURATION_SECONDS)
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(options.device, options.dtype)

    x, context = noise(1, frames, 64), noise(1, frames, 128)
    conditions = noise(1, CONDITION_TOKENS, PUBLISHED_2B.condition_size)

    with PeakMemory(options.device) as peak:
        start = time.perf_counter()
        run = ours.prepare(list(conditions), [1000 * TIME] * 8, frames, guided=guided)
        setup_seconds = time.perf_counter() - start
        ours(x, context, 0, run, guided=guided)

    rows = 2 if guided else 1
    null = ours.null_condition_emb.expand(1, CONDITION_TOKENS, -1)
    peer_conditions = torch.cat((conditions, null)) if guided else conditions
    peer_x, peer_context = x.repeat(rows, 1, 1), context.repeat(rows, 1, 1)
    peer_time = torch.full((rows,), TIME, device=options.device, dtype=options.dtype)

    medians = interleaved_medians(
        {
            "ours": lambda: ours(x, context, 0, run, guided=guided),
            "peer": lambda: peer(peer_x, peer_time, peer_time, peer_conditions, peer_context),
        },
        repeats=options.repeats,
        device=options.device,
    )
    result = Result(
        name="dit",
        case=options.case,
        ours_seconds=medians["ours"],
        peer_seconds=medians["peer"],
        ratio=medians["ours"] / medians["peer"],
        peak_memory_bytes=peak.bytes,
        setup_seconds=setup_seconds,
        extra={"frames": frames, "condition_tokens": CONDITION_TOKENS},
    )
    report(result, options, "diffusers")


if __name__ == "__main__":
    main()
