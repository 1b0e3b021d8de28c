"""Renders the songs of the repository with the music box, in a real ComfyUI: the sample of Load Song, those of README.

    .venv/bin/python automation/songs.py            # writes docs/*.mp3
    .venv/bin/python automation/songs.py sample     # writes js/sample_song.mp3, from which the others may come

Each is a published workflow with a few inputs changed, so that README can name the way to it. Run it after a change of
the music box that should be heard.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from comfyui_client import ComfyUIClient, run_failure
from host_process import PACK_ROOT, HostProcess
from hosts import find_comfyui
from music_box_workflows import SAMPLE_PATH, SAVER, WORKFLOWS, with_music_box
from run_workflow import load_prompt

DOCS = PACK_ROOT / "docs"
ENCODING = "mp3 128k"
SECONDS = 16.0
BLUEPRINT, SAMPLER, REPAINT = "AceComposerBlueprint", "AceComposerSample", "AceComposerRepaint"
POP = {"caption": "warm pop song with drums, bass, guitar and vocals", "bpm": 110, "key": "A minor"}
REGGAE = {"caption": "dark reggae song with drums, bass and keyboard", "bpm": 80, "key": "G major"}
AMBIENT = {"caption": "dreamy ambient piece with strings and keyboard, no drums"}


class Song(NamedTuple):
    """A song, its workflow, the inputs to change by the class of their node, and which Save Song node writes it."""

    path: Path
    workflow: str
    changes: Mapping[str, Mapping[str, Any]]
    saver: int = 0


def blueprint(plan: Mapping[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
    return {**plan, "lyrics": "", "duration_seconds": seconds}


SAMPLE_SONG = Song(
    SAMPLE_PATH,
    "try_it_without_models",
    {BLUEPRINT: blueprint(POP, 24.0), SAMPLER: {"seed": 1}, SAVER: {"title": "Sample"}},
)
SONGS = (
    Song(DOCS / "song_pop.mp3", "text_to_music", {BLUEPRINT: blueprint(POP), SAMPLER: {"seed": 1}}),
    Song(DOCS / "song_pop_other_seed.mp3", "text_to_music", {BLUEPRINT: blueprint(POP), SAMPLER: {"seed": 2}}),
    Song(DOCS / "song_reggae.mp3", "text_to_music", {BLUEPRINT: blueprint(REGGAE), SAMPLER: {"seed": 1}}),
    Song(
        DOCS / "song_repaint.mp3",
        "repaint",
        {BLUEPRINT: blueprint(POP | AMBIENT), REPAINT: {"start": 8.0, "end": 16.0}, SAMPLER: {"seed": 1}},
    ),
    Song(DOCS / "song_drums.mp3", "extract_stems", {}, saver=1),
)


def prompt_of(song: Song) -> tuple[dict[str, Any], str]:
    """What to run, and the node whose file is the song."""
    prompt = with_music_box(load_prompt(WORKFLOWS / f"{song.workflow}.json"))
    for node in prompt.values():
        node["inputs"] |= song.changes.get(node["class_type"], {})
    savers = [name for name, node in prompt.items() if node["class_type"] == SAVER]
    prompt[savers[song.saver]]["inputs"]["encoding"] = ENCODING
    return prompt, savers[song.saver]


def render(client: ComfyUIClient, song: Song) -> None:
    """Run a song's workflow and write its file."""
    prompt, saver = prompt_of(song)
    entry = client.run(prompt)
    if failure := run_failure(entry, prompt):
        raise SystemExit(f"{song.path.name}: {failure}")
    (file,) = entry["outputs"][saver]["audio"]
    song.path.write_bytes(client.view(file))
    print(f"{song.path} {song.path.stat().st_size / 1000:.0f} kB")


def main() -> int:
    parser = argparse.ArgumentParser(prog="songs.py", description="Render the songs of the repository.")
    parser.add_argument("what", nargs="?", choices=("songs", "sample"), default="songs")
    options = parser.parse_args()
    comfyui = find_comfyui()
    if comfyui is None:
        parser.error("there is no ComfyUI yet: run 'python dev.py setup'")
    with tempfile.TemporaryDirectory(prefix="ace-composer-songs-") as scratch:
        with HostProcess(comfyui, Path(scratch), cpu=True) as host, ComfyUIClient(host.url) as client:
            for song in SONGS if options.what == "songs" else (SAMPLE_SONG,):
                render(client, song)
    return 0


if __name__ == "__main__":
    sys.exit(main())
