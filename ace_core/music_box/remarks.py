"""What to say where the music box cannot do what a song plan asks."""

from __future__ import annotations

from ..song.blueprint import Blueprint
from ..tasks.instructions import TaskName
from .clock import DEFAULT_TEMPO, nearest_tempo

TIME_SIGNATURE = 4
UNKNOWN_TASKS = ("lego", "complete")
ABOUT = "music box: a toy to learn the graph with. The released models know far more than its few words and patterns."


def plan_remarks(about: str, plan: Blueprint, task: TaskName) -> list[str]:
    """Sentences about a song that the model plays otherwise; none for any other than the box.

    Args:
        about: what the model's config says of it, wherever it lies and whatever it is called.
    """
    if about != ABOUT:
        return []
    remarks = [ABOUT]
    if task in UNKNOWN_TASKS:
        remarks.append(f"the music box does not know {task}: what it adds is silence")
    tempo = nearest_tempo(plan.bpm or DEFAULT_TEMPO)
    if plan.bpm not in (None, tempo):
        remarks.append(f"{plan.bpm} bpm is played at {tempo}, the nearest tempo that the music box knows")
    if plan.time_signature not in (None, TIME_SIGNATURE):
        remarks.append(f"{plan.time_signature} beats in a bar are played as {TIME_SIGNATURE}")
    return remarks
