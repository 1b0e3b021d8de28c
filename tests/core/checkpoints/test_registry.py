"""The shared weight cache: one build per key, nothing left behind, freed with its last user."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from ace_core.checkpoints.registry import WeightKey, WeightRegistry, stamp


class Weights:
    """Something that supports weak references."""


def start(function: Callable[[], Weights]) -> Future[Weights]:
    """Run in a thread that cannot keep the test process alive, however wrong the registry is."""
    future: Future[Weights] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def key(role: str = "dit") -> WeightKey:
    return WeightKey(role, (), "torch.bfloat16")


def test_two_users_share_one_copy() -> None:
    registry = WeightRegistry()
    first = registry.get(key(), Weights)
    assert registry.get(key(), Weights) is first
    assert registry.get(key("vae"), Weights) is not first


def test_a_value_tells_its_key() -> None:
    registry = WeightRegistry()
    value, other = registry.get(key(), Weights), registry.get(key("vae"), Weights)
    assert (registry.key_of(value), registry.key_of(other)) == (key(), key("vae"))
    with pytest.raises(KeyError, match="Weights is none of the registry's values"):
        registry.key_of(Weights())


def test_dropping_the_last_user_frees() -> None:
    registry = WeightRegistry()
    value = registry.get(key(), Weights)
    alive = weakref.ref(value)
    assert key() in registry
    del value
    gc.collect()
    assert alive() is None
    assert key() not in registry
    assert isinstance(registry.get(key(), Weights), Weights)


def test_threads_asking_for_one_key_build_once() -> None:
    registry = WeightRegistry()
    builds = []
    everyone_asks = threading.Barrier(8)
    release = threading.Event()

    def build() -> Weights:
        builds.append(threading.get_ident())
        assert release.wait(30)
        return Weights()

    def ask() -> Weights:
        everyone_asks.wait(30)
        return registry.get(key(), build)

    futures = [start(ask) for _ in range(8)]
    release.set()
    values = {id(future.result(30)) for future in futures}
    assert len(builds) == 1
    assert len(values) == 1


def test_different_keys_load_in_parallel() -> None:
    registry = WeightRegistry()
    both_inside = threading.Barrier(2)

    def build() -> Weights:
        both_inside.wait(30)  # returns only if the other build runs at the same time
        return Weights()

    first, second = (start(partial(registry.get, key(role), build)) for role in ("dit", "vae"))
    assert first.result(30) is not second.result(30)


def test_a_failing_build_leaves_nothing_behind_and_the_next_one_tries_again() -> None:
    registry = WeightRegistry()
    inside, release = threading.Event(), threading.Event()

    def fail() -> Weights:
        inside.set()
        assert release.wait(30)
        raise OSError("disk")

    failing = start(partial(registry.get, key(), fail))
    assert inside.wait(30)
    waiting = start(partial(registry.get, key(), Weights))
    release.set()
    with pytest.raises(OSError, match="disk"):
        failing.result(30)
    assert isinstance(waiting.result(30), Weights)
    with pytest.raises(OSError, match="disk"):
        registry.get(key("vae"), fail)
    assert key("vae") not in registry
    assert isinstance(registry.get(key("vae"), Weights), Weights)


def test_a_replaced_file_is_another_key(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"one")
    before = stamp([file])
    assert stamp([file]) == before
    os.utime(file, ns=(1, 1))
    touched = stamp([file])
    file.write_bytes(b"longer")
    os.utime(file, ns=(1, 1))
    assert len({before, touched, stamp([file])}) == 3


def test_a_link_and_its_target_are_one_key(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"one")
    (tmp_path / "same").mkdir()
    assert stamp([tmp_path / "same" / ".." / "weights.safetensors"]) == stamp([file])
