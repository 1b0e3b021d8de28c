"""The one progress callback of the engine.

Every long stage calls it with `(done, total)` in its own units; `done` only grows, up to `total`.
An exception raised by the callback is never caught: that is how a caller cancels a running stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
CancelCheck: TypeAlias = Callable[[], None]  # called where there is nothing to report; raises to cancel


def share_of_progress(on_progress: Progress | None, index: int, count: int) -> Progress | None:
    """The callback of part `index` of `count` equal parts, in thousandths of a part."""
    if on_progress is None:
        return None
    report = on_progress
    return lambda done, total: report(1000 * index + 1000 * done // max(total, 1), 1000 * count)


def part_of_progress(on_progress: Progress | None, done_before: int, total: int) -> Progress | None:
    """The callback of a part that begins at `done_before` of `total`, in the same units."""
    if on_progress is None:
        return None
    report = on_progress
    return lambda done, _total: report(done_before + done, total)
