"""One DiT step at the published 2B size against diffusers' transformer: same weights, 30 s of audio, 600 conditions.

Cases: `step` (turbo, no guidance), `guided` (base, conditional and unconditional velocity in one step). What we compute
once per run is not part of the step; it is reported as `setup_seconds`.

`lora` has no peer: the network with two LoRAs of rank 64 on every attention matrix, put on by the nodes' own code and
loaded by a real ComfyUI, against the same network without. `ratio` is adapted / plain, after the first step;
`setup_seconds` is loading it, which computes the changed weights.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
from torch import nn

from ace_core.audio.waveform import latent_frames
from ace_core.models.dit import DiT, DiTConfig
from automation.hosts import find_comfyui
from tests.inside.inside_comfyui import pack_module, start_comfyui
from tests.support.networks import diffusers_dit

from .common import Options, PeakMemory, Result, interleaved_medians, parse_options, report, timed

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
ADAPTERS = 2
ADAPTER_RANK = 64


def build_both(dtype: torch.dtype, device: torch.device) -> tuple[DiT, AceStepTransformer1DModel]:
    """Our network and the peer's over one set of seeded random weights."""
    generator = torch.Generator().manual_seed(0)
    ours = DiT(PUBLISHED_2B, ops=nn, device="meta")
    weights = {
        name: (torch.randn(parameter.shape, generator=generator) * 0.02).to(device, dtype)
        for name, parameter in ours.named_parameters()
    }
    ours.load_state_dict(weights, assign=True)
    return ours.eval(), diffusers_dit(ours)


def with_loras(part: Any) -> Any:
    """A part of the same network with `ADAPTERS` seeded LoRAs, as Load LoRA makes it."""
    adapters = pack_module("ace_core.lora.adapters")
    generator = torch.Generator().manual_seed(2)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.02

    shapes = {
        name: weight.shape
        for name, weight in part.network.state_dict().items()
        if "_attn." in name and name.endswith("_proj.weight")
    }
    for _ in range(ADAPTERS):
        weights = {
            name: adapters.Adapter("lora", 2.0, ((matrix(rows, ADAPTER_RANK), matrix(ADAPTER_RANK, columns)),), None)
            for name, (rows, columns) in shapes.items()
        }
        part = pack_module("nodes.host.adapters").with_adapter(
            part, adapters.AdapterWeights(weights), adapters.Strengths(0.7)
        )
    return part


def lora_result(options: Options) -> Result:
    """The case `lora`; the two take turns on one network, so each is loaded before its turn, which is not timed."""
    comfyui = find_comfyui()
    if comfyui is None:
        raise FileNotFoundError("there is no ComfyUI to measure in: run 'python dev.py setup', or set COMFYUI_PATH")
    with tempfile.TemporaryDirectory() as base_directory:
        start_comfyui(comfyui, Path(base_directory), cpu=options.device.type == "cpu")
        host = pack_module("nodes.host.networks")
    generator = torch.Generator().manual_seed(0)
    network = DiT(PUBLISHED_2B, ops=host.CASTING_OPS, device="meta")
    weights = {
        name: (torch.randn(parameter.shape, generator=generator) * 0.02).to(options.dtype)
        for name, parameter in network.named_parameters()
    }
    network.load_state_dict(weights, assign=True)
    patcher_class = importlib.import_module("comfy.model_patcher").ModelPatcher
    patcher = patcher_class(network.eval().requires_grad_(False), options.device, torch.device("cpu"))
    plain = host.Patched(patcher, options.dtype)
    parts = {"plain": plain, "adapted": with_loras(plain)}
    frames = latent_frames(DURATION_SECONDS)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(options.device, options.dtype)

    x, context, conditions = (
        noise(1, frames, 64),
        noise(1, frames, 128),
        noise(CONDITION_TOKENS, PUBLISHED_2B.condition_size),
    )
    times: dict[str, list[float]] = {name: [] for name in parts}
    setup_seconds = 0.0
    order = list(parts)
    with PeakMemory(options.device) as peak:
        for _ in range(options.repeats):
            for name in order:
                loading = timed(partial(host.NETWORKS.use, parts[name]), options.device)
                if name == "adapted":
                    setup_seconds = max(setup_seconds, loading)
                run = network.prepare([conditions], [1000 * TIME] * 8, frames, guided=False)
                step = partial(network, x, context, 0, run, guided=False)
                times[name] += [timed(step, options.device) for _ in range(3)][1:]
            order.reverse()
    medians = {name: statistics.median(values) for name, values in times.items()}
    return Result(
        name="dit",
        case="lora",
        ours_seconds=medians["adapted"],
        peer_seconds=None,
        ratio=medians["adapted"] / medians["plain"],
        peak_memory_bytes=peak.bytes,
        setup_seconds=setup_seconds,
        extra={"plain_seconds": medians["plain"], "adapters": ADAPTERS, "rank": ADAPTER_RANK, "frames": frames},
    )


@torch.inference_mode()
def main() -> None:
    options = parse_options("dit", ("step", "guided", "lora"))
    if options.case == "lora":
        report(lora_result(options), options)
        return
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
