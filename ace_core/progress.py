"""The one progress callback of the engine.

Every long stage calls it with ``(done, total)`` in units of its own choosing; ``done`` only grows, up to ``total``.
An exception raised by the callback is never caught: that is how a caller cancels a running stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
