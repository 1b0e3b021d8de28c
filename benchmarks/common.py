"""What every benchmark shares: interleaved timing, peak memory, versions, and the one JSON line at the end.

A benchmark is a module run as ``python -m benchmarks.NAME [--case CASE] [--json]``. It builds our network and the
peer's over the same weights, times them in turn (a busy machine then slows both alike), and reports the medians. Lower
is better in every number.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

import psutil
import torch


@dataclass(frozen=True)
class Options:
    case: str
    repeats: int
    device: torch.device
    dtype: torch.dtype
    json_only: bool


@dataclass(frozen=True)
class Result:
    """``peer_seconds`` is None where no peer runs the case; ``extra`` then says what ``ratio`` compares."""

    name: str
    case: str
    ours_seconds: float
    peer_seconds: float | None
    ratio: float
    peak_memory_bytes: int
    setup_seconds: float
    extra: Mapping[str, object] = field(default_factory=dict)


def parse_options(name: str, cases: Sequence[str], *, repeats: int = 5) -> Options:
    """Command line of a benchmark; the first case is the default."""
    parser = argparse.ArgumentParser(prog=f"benchmarks.{name}")
    parser.add_argument("--case", choices=cases, default=cases[0])
    parser.add_argument("--repeats", type=int, default=repeats, help="interleaved runs of each side")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--json", action="store_true", help="print the result line only")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {arguments.repeats}")
    return Options(
        case=arguments.case,
        repeats=arguments.repeats,
        device=arguments.device,
        dtype=getattr(torch, arguments.dtype),
        json_only=arguments.json,
    )


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, including the device's queued work."""
    _synchronize(device)
    start = time.perf_counter()
    result = run()
    _synchronize(device)
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def interleaved_times(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, device: torch.device, warm_up: int = 1
) -> dict[str, list[float]]:
    """Times every run ``repeats`` times in turn: a b, b a, a b, ... after ``warm_up`` untimed calls of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(warm_up):
        for run in runs.values():
            timed(run, device)
    order = list(runs)
    for _ in range(repeats):
        for name in order:
            times[name].append(timed(runs[name], device))
        order.reverse()
    return times


def interleaved_medians(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, device: torch.device, warm_up: int = 1
) -> dict[str, float]:
    """Median seconds of every run; see ``interleaved_times``."""
    times = interleaved_times(runs, repeats=repeats, device=device, warm_up=warm_up)
    return {name: statistics.median(values) for name, values in times.items()}


class PeakMemory:
    """Peak memory inside a ``with`` block, above what was in use at its start: ``.bytes`` afterwards.

    On CUDA the allocator's own count. Elsewhere the resident memory of the process, sampled every few milliseconds, so
    file-backed pages that are read for the first time inside the block count too.
    """

    def __init__(self, device: torch.device, interval_seconds: float = 0.003) -> None:
        self.bytes = 0
        self._device = device
        self._interval_seconds = interval_seconds
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._start_bytes = 0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._start_bytes = torch.cuda.memory_allocated(self._device)
        else:
            self._start_bytes = self._process.memory_info().rss
            self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device) - self._start_bytes
        else:
            self._stop.set()
            self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._start_bytes)


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, the machine and the named distributions ("absent" where not installed)."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in ("torch", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def report(result: Result, options: Options, *packages: str) -> None:
    """Prints a sentence for people unless ``--json`` was given, then the result as the last line."""
    if not options.json_only:
        peer = "" if result.peer_seconds is None else f", peer {result.peer_seconds:.3f} s"
        sys.stdout.write(
            f"{result.name} {result.case}: ours {result.ours_seconds:.3f} s{peer}, ratio {result.ratio:.3f}, "
            f"peak {result.peak_memory_bytes / 2**20:.0f} MiB, set-up {result.setup_seconds:.3f} s\n"
        )
    fields = asdict(result)
    fields |= fields.pop("extra")
    fields |= {
        "repeats": options.repeats,
        "device": torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else str(options.device),
        "dtype": str(options.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": versions(*packages),
    }
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
