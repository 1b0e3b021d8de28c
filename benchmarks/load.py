"""Loading a published-size 2B model against safetensors' own `load_file`: warm cache, same dtype, every tensor touched.

Ours is what a loader node does: inspect the file, build decoder, condition encoder and audio tokenizer through the
registry, and check every tensor for NaN, which touches all of it. The peer loads the same file and makes the same pass.
`ratio_touched_again` is the ratio when both sides then read everything once more.

A random bf16 file of 4.8 GB is written to the temporary directory first and removed at the end.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ace_core.checkpoints.inspection import WeightSource, inspect_model
from ace_core.checkpoints.loading import build_network, weight_key
from ace_core.checkpoints.registry import WeightRegistry

from .common import PeakMemory, Result, interleaved_medians, parse_options, report

INVENTORY = Path(__file__).parents[1] / "tests" / "data" / "keys" / "dit_2b_official.json"
POOL_SIZE = 1 << 24


def write_random_model(path: Path) -> None:
    """A safetensors file with the names and shapes of the 2B model, written in pieces to take no memory.

    Its numbers repeat after `POOL_SIZE`; no two pages on the disk are shared.
    """
    pool = (torch.randn(POOL_SIZE, generator=torch.Generator().manual_seed(0)) * 0.02).to(torch.bfloat16)
    numbers = memoryview(pool.view(torch.uint8).numpy())
    header, offset = {}, 0
    for name, shape in json.loads(INVENTORY.read_text()).items():
        size = torch.Size(shape).numel() * pool.element_size()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for entry in header.values():
            start, end = entry["data_offsets"]
            for begin in range(start, end, len(numbers)):
                file.write(numbers[: min(len(numbers), end - begin)])


def load_ours(path: Path, registry: WeightRegistry) -> list[nn.Module]:
    """What a loader node holds afterwards."""
    model = inspect_model(path)
    sources = [source for source in (model.dit, model.condition_encoder, model.audio_tokenizer) if source is not None]

    def build(source: WeightSource[Any]) -> nn.Module:
        network: nn.Module = registry.get(
            weight_key(source, torch.bfloat16), lambda: build_network(source, ops=nn, dtype=torch.bfloat16)
        )
        return network

    return [build(source) for source in sources]


def touch(tensors: Iterable[Tensor]) -> None:
    """The pass over all numbers that our loader makes."""
    for tensor in tensors:
        torch.aminmax(tensor)


def parameters(networks: list[nn.Module]) -> list[Tensor]:
    return [parameter for network in networks for parameter in network.parameters()]


def private_bytes() -> int:
    """Resident memory of this process that is not file pages."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def main() -> None:
    options = replace(parse_options("load", ("2b",)), dtype=torch.bfloat16)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "acestep_v1.5_turbo.safetensors"
        write_random_model(path)
        file_bytes = path.stat().st_size

        start = time.perf_counter()
        inspect_model(path)
        setup_seconds = time.perf_counter() - start
        registry = WeightRegistry()
        private_before = private_bytes()
        with PeakMemory(options.device) as peak:
            first = load_ours(path, registry)
        private_added = private_bytes() - private_before

        resident = psutil.Process().memory_info().rss
        second = load_ours(path, registry)
        resident_added = psutil.Process().memory_info().rss - resident
        held = {parameter.data_ptr() for parameter in parameters(first)}
        copied = sum(tensor.nbytes for tensor in parameters(second) if tensor.data_ptr() not in held)
        del first, second

        def peer() -> dict[str, Tensor]:
            weights = load_file(path)
            touch(weights.values())
            return weights

        medians = interleaved_medians(
            {
                "ours": lambda: load_ours(path, WeightRegistry()),
                "peer": peer,
                "ours_again": lambda: touch(parameters(load_ours(path, WeightRegistry()))),
                "peer_again": lambda: touch(peer().values()),
            },
            repeats=options.repeats,
            device=options.device,
        )
    result = Result(
        name="load",
        case=options.case,
        ours_seconds=medians["ours"],
        peer_seconds=medians["peer"],
        ratio=medians["ours"] / medians["peer"],
        peak_memory_bytes=peak.bytes,
        setup_seconds=setup_seconds,
        extra={
            "file_bytes": file_bytes,
            "private_bytes": private_added,
            "second_loader_weight_bytes": copied,
            "second_loader_resident_bytes": resident_added,
            "ratio_touched_again": medians["ours_again"] / medians["peer_again"],
        },
    )
    report(result, options, "safetensors")


if __name__ == "__main__":
    main()
