"""What a version changed in the sound of a new node, said on it the first time in a server that it matters.

Graphs, prompts and songs from before keep their sound by themselves; CHANGELOG.md tells it at length. A note goes when
the version that it speaks of is long past.
"""

from __future__ import annotations

WAVELET = "New since version 1.0: the wavelet correction. wavelet_correction off gives the sound of before."
SHIFT_1 = "Changed since version 1.0: turbo-shift1 is rendered with shift 1. shift 3 gives the songs of before."
CARRIED_TASK = (
    "New since version 1.0: the latents of a task join its recording without the wire. splice off gives the whole song "
    "as rendered, as before."
)
PLAIN_CAPTION = (
    "Changed since version 1.0: a plan keeps the caption as written. rewrite_caption on gives the plans of before."
)

_said: set[str] = set()


def once(note: str, *, applies: bool) -> tuple[str, ...]:
    """The note, if it applies and was not given out before in this process; else nothing."""
    if not applies or note in _said:
        return ()
    _said.add(note)
    return (note,)
