"""The instruction line of each task, as ACE-Step 1.5 was trained on it.

Matches the published task instructions, which diffusers' `AceStepPipeline` repeats.

Trap: a song that follows audio codes has the cover instruction, whatever else it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..checks import shown
from ..song.fields import normalize_track

MAX_INSTRUCTION_CHARACTERS = 300

TaskName: TypeAlias = Literal["text2music", "cover", "cover-nofsq", "repaint", "extract", "lego", "complete"]

TEXT_TO_MUSIC_INSTRUCTION = "Fill the audio semantic mask based on the given conditions:"
COVER_INSTRUCTION = "Generate audio semantic tokens based on the given conditions:"
REPAINT_INSTRUCTION = "Repaint the mask area based on the given conditions:"

_PLAIN_INSTRUCTIONS = {
    "text2music": TEXT_TO_MUSIC_INSTRUCTION,
    "cover": COVER_INSTRUCTION,
    "cover-nofsq": COVER_INSTRUCTION,
    "repaint": REPAINT_INSTRUCTION,
}
_TRACK_INSTRUCTIONS = {
    "extract": ("Extract the {tracks} track from the audio:", "Extract the track from the audio:"),
    "lego": (
        "Generate the {tracks} track based on the audio context:",
        "Generate the track based on the audio context:",
    ),
    "complete": ("Complete the input track with {tracks}:", "Complete the input track:"),
}


def task_instruction(task: TaskName, tracks: Sequence[str] = ()) -> str:
    """The instruction line of a task.

    Args:
        task: what the renderer is asked to do.
        tracks: at most one track for extract and lego, any number for complete, none for the others.

    Raises:
        ValueError: an unknown task or track, or tracks that the task has no place for.
    """
    names = [normalize_track(track).upper() for track in tracks]
    if task in _PLAIN_INSTRUCTIONS:
        if names:
            raise ValueError(f"the task {task} takes no tracks, got {', '.join(names)}")
        return _PLAIN_INSTRUCTIONS[task]
    if task not in _TRACK_INSTRUCTIONS:
        known = ", ".join((*_PLAIN_INSTRUCTIONS, *_TRACK_INSTRUCTIONS))
        raise ValueError(f"task must be one of {known}; got {shown(task)}")
    if task != "complete" and len(names) > 1:
        raise ValueError(f"the task {task} takes one track, got {', '.join(names)}")
    with_tracks, without_tracks = _TRACK_INSTRUCTIONS[task]
    return with_tracks.format(tracks=" | ".join(names)) if names else without_tracks


def checked_instruction(text: str) -> str:
    """A user's own instruction line without blanks around it; "" for none.

    Raises:
        ValueError: it has several lines or more than 300 characters.
    """
    text = text.strip()
    if len(text.splitlines()) > 1 or len(text) > MAX_INSTRUCTION_CHARACTERS:
        raise ValueError(
            f"an instruction is one line of at most {MAX_INSTRUCTION_CHARACTERS} characters, got {shown(text)}"
        )
    return text
