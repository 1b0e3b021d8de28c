"""Trains what the music box has learned and keeps it in `weights/`: `python dev.py music-box [STAGE ...]`.

The text encoder takes about 10 minutes on two cores and the planner 50. Each is kept as soon as it ends; stages that
are there already are left alone unless they are named. Results differ a little between machines, so what is kept was
made once and is committed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from ..checkpoints.tokenizer import QWEN_VOCABULARY, TextTokenizer, load_tokenizer
from . import files
from .planner import planner_lesson, train_planner
from .small_lm import TrainedRows
from .tagger import tagger_lesson, train_tagger

Lesson = Callable[[TextTokenizer], str]
STAGES: dict[str, tuple[str, Callable[..., TrainedRows], Lesson]] = {
    "text-encoder": (files.TAGGER_FILE, train_tagger, tagger_lesson),
    "planner": (files.PLANNER_FILE, train_planner, planner_lesson),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python dev.py music-box", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)}; made again if they are there")
    wanted = parser.parse_args(arguments).stages
    if unknown := [stage for stage in wanted if stage not in STAGES]:
        parser.error(f"there is no stage {', '.join(unknown)}; the stages are {', '.join(STAGES)}")
    tokenizer = load_tokenizer(QWEN_VOCABULARY)
    files.WEIGHTS.mkdir(exist_ok=True)
    for stage, (name, train, lesson) in STAGES.items():
        if stage in wanted or (not wanted and not (files.WEIGHTS / name).is_file()):
            trained = train(tokenizer, report=_reporter(stage))
            files.write_rows(files.WEIGHTS / name, trained, lesson(tokenizer))


def _reporter(stage: str) -> Callable[[int, float, float], None]:
    def report(step: int, loss: float, right: float) -> None:
        print(f"{stage}: step {step}, loss {loss:.4f}, {right:.2%} right", flush=True)

    return report


if __name__ == "__main__":
    main()
