"""One training step of a LoRA against a plain loop of peft over diffusers' transformer, on the same weights and clip.

A network of eight layers, half as wide as the published 2B, and 60 s of audio with 300 conditions. Both sides train the
same matrices at the same rank with the same dropout, clip gradients and use PyTorch's AdamW. Ours is the trainer's own
step, with reading the sample and drawing its noise; the peer has its clip in memory. `kept_bytes` is what waits for the
backward pass, the same on every device.

Cases: `lora`, `recompute` (both with gradient checkpointing, every layer), `dora`, `lokr` (both without dropout).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoKrConfig, LoraConfig, PeftConfig, get_peft_model
from torch import nn
from torch.nn import functional as F

from ace_core.audio.waveform import latent_frames
from ace_core.dataset.samples import Manifest, SampleEntry, TrainingSample, write_sample
from ace_core.models.dit import DiT
from ace_core.runtime import Runtime
from ace_core.training.adapted_copy import AdapterSettings, TrainedKind, attach_weights, build_copy
from ace_core.training.hyperparameters import TrainingSettings
from ace_core.training.trainer import TrainingRun, plan_task
from ace_core.training.workers import ALONE
from tests.support.networks import diffusers_dit, random_weights

from .common import Options, PeakMemory, Result, interleaved_medians, parse_options, report
from .dit import PUBLISHED_2B

HALF_2B = replace(
    PUBLISHED_2B,
    hidden_size=1024,
    intermediate_size=3072,
    num_layers=8,
    num_heads=8,
    num_kv_heads=4,
    condition_size=1024,
)
DURATION_SECONDS = 60
CONDITION_TOKENS = 300
BASE_MODEL = "acestep-v15-turbo"
RANK, ALPHA, DROPOUT = 16, 32, 0.1
PEER_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.01
CASES = ("lora", "recompute", "dora", "lokr")


def our_step(shared: DiT, sample: TrainingSample, folder: Path, options: Options) -> Callable[[], object]:
    """The trainer's step on one clip."""
    kind: TrainedKind = "lora" if options.case == "recompute" else options.case  # type: ignore[assignment]
    dropout = DROPOUT if kind == "lora" else 0.0
    settings = TrainingSettings(
        AdapterSettings(kind, RANK, ALPHA, dropout),
        steps=1000,
        learning_rate=LEARNING_RATE,
        optimizer="adamw",
        seed=0,
        accumulation=1,
        weight_decay=WEIGHT_DECAY,
        recompute=options.case == "recompute",
    )
    write_sample(folder / "clip.safetensors", sample)
    entry = SampleEntry("clip.safetensors", "clip.wav", DURATION_SECONDS, "")
    manifest = Manifest("clip", BASE_MODEL, "", "", (entry,))
    width = shared.config.condition_size
    task = plan_task(folder, manifest, settings, base_model=BASE_MODEL, variant="turbo", width=width)
    tree = build_copy(shared, settings.adapter, settings.seed)
    runtime = Runtime(options.device, options.dtype)
    attach_weights(tree, shared, runtime)
    run = TrainingRun(tree, task, folder / "state.safetensors", ALONE)

    def step() -> None:
        loss = run.gradients(runtime, lambda: None)
        run.change_weights(loss)

    return step


def peer_step(shared: DiT, sample: TrainingSample, options: Options) -> Callable[[], object]:
    """A plain loop: peft's layers in diffusers' transformer, autocast where the weights are bfloat16."""
    peer = diffusers_dit(shared)
    peer.to(options.device)
    if options.case == "recompute":
        peer.enable_gradient_checkpointing()
    torch.manual_seed(0)  # peft's initial values
    network = get_peft_model(peer, peer_config(options.case)).train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    latents, packed, source = (tensor.to(options.device)[None] for tensor in sample)
    context = torch.cat((source, torch.ones_like(source)), dim=-1).to(options.dtype)
    conditions = packed.to(options.dtype)
    time_points = torch.full((1,), 0.75, device=options.device, dtype=options.dtype)
    autocast = torch.autocast(options.device.type, options.dtype, enabled=options.dtype == torch.bfloat16)

    def step() -> None:
        noise = torch.randn_like(latents)
        noisy = (0.75 * noise + 0.25 * latents).to(options.dtype)
        with autocast:
            velocity = network(noisy, time_points, time_points, conditions, context, return_dict=False)[0]
        loss = F.mse_loss(velocity.float(), noise - latents)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def kept_bytes(step: Callable[[], object], shared: DiT) -> int:
    """What a step keeps for its backward pass: the storages of all saved tensors, the shared weights apart."""
    frozen = {parameter.untyped_storage().data_ptr() for parameter in shared.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in frozen:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # alive, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def peer_config(case: str) -> PeftConfig:
    if case == "lokr":
        return LoKrConfig(r=RANK, alpha=ALPHA, target_modules=PEER_TARGETS)
    dropout = 0.0 if case == "dora" else DROPOUT
    return LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=dropout, target_modules=PEER_TARGETS, use_dora=case == "dora"
    )


def main() -> None:
    options = parse_options("train", CASES)
    shared = random_weights(DiT(HALF_2B, ops=nn, device="meta"), seed=0, dtype=options.dtype).to(options.device)
    generator = torch.Generator().manual_seed(1)
    frames = latent_frames(DURATION_SECONDS)
    sample = TrainingSample(
        torch.randn(frames, 64, generator=generator),
        torch.randn(CONDITION_TOKENS, HALF_2B.condition_size, generator=generator),
        torch.randn(frames, 64, generator=generator),
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        ours = our_step(shared, sample, Path(folder), options)
        setup_seconds = time.perf_counter() - start
        with PeakMemory(options.device) as peak:  # of the first step; the peer's could use what ours has freed
            ours()
        peer = peer_step(shared, sample, options)
        peer()
        kept = {name: kept_bytes(step, shared) for name, step in (("ours", ours), ("peer", peer))}
        medians = interleaved_medians(
            {"ours": ours, "peer": peer}, repeats=options.repeats, device=options.device, warm_up=0
        )
    result = Result(
        name="train",
        case=options.case,
        ours_seconds=medians["ours"],
        peer_seconds=medians["peer"],
        ratio=medians["ours"] / medians["peer"],
        peak_memory_bytes=peak.bytes,
        setup_seconds=setup_seconds,
        extra={"kept_bytes": kept["ours"], "peer_kept_bytes": kept["peer"], "frames": frames, "rank": RANK},
    )
    report(result, options, "diffusers", "peft")


if __name__ == "__main__":
    main()
