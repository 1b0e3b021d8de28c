"""Names of files: the page's patterns are filled, and every system can have what comes out."""

from __future__ import annotations

from datetime import datetime

import pytest

from ace_core.file_names import filled_name

NOW = datetime(2026, 3, 9, 14, 5, 7)
PROMPT = {
    "3": {
        "class_type": "AceComposerSample",
        "inputs": {"seed": 42, "model": ["1", 0]},
        "_meta": {"title": "My Sampler"},
    },
    "4": {"class_type": "AceComposerBlueprint", "inputs": {"caption": "rock/pop: loud?\nyes", "bpm": 96}},
    "5": {"class_type": "AceComposerSample", "inputs": {"seed": 7}},
    "9:2:8": {"class_type": "AceComposerSample", "inputs": {"seed": 11}},
}
WORKFLOW = {
    "nodes": [{"id": 5, "properties": {"Node name for S&R": "second"}}, {"id": 9, "type": "outer"}],
    "definitions": {
        "subgraphs": [
            {"id": "outer", "nodes": [{"id": 2, "type": "inner"}, {"id": 3, "type": "outer"}]},
            {"id": "inner", "nodes": [{"id": 8, "properties": {"Node name for S&R": "deep"}}]},
        ]
    },
}


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%date:yyyy-MM-dd%/song", "2026-03-09/song"),
        ("%date:yy.M.d% %date:hh_mm_ss%", "26.3.9 14_05_07"),
        ("%date:hh:mm:ss%", "14_05_07"),
        ("%date:yyyy/MM%/x", "2026_03/x"),
        ("%AceComposerSample.seed%", "42"),
        ("%My Sampler.seed% %second.seed% %deep.seed%", "42 7 11"),
        ("a/%AceComposerBlueprint.caption%", "a/rock_pop_ loud__yes"),
        ("%year%-%width%", "%year%-%width%"),
        ("%Nobody.seed%/%AceComposerSample.model%", "%Nobody.seed%/%AceComposerSample.model%"),
        ("100% pure", "100% pure"),
        ("songs\\new\\x", "songs/new/x"),
        ('a<b>:"c|?*', "a_b___c___"),
        ("dots. /con/Nul.txt/console", "dots/con_/Nul_.txt/console"),
        ("../x", "../x"),
        ("/abs", "/abs"),
        ("Zo\u00eb \u591c\u66f2 \U0001f3b5", "Zo\u00eb \u591c\u66f2 \U0001f3b5"),
        ("x" * 300, "x" * 120),
        ("\u591c" * 100 + "/y", "\u591c" * 60 + "/y"),
        ("nul .txt/COM\xb9/conin$", "nul_ .txt/COM\xb9_/conin$_"),
    ],
)
def test_patterns_are_filled_and_names_are_legal_everywhere(prefix: str, name: str) -> None:
    assert filled_name(prefix, NOW, PROMPT, WORKFLOW).name == name


def test_a_drive_is_refused() -> None:
    with pytest.raises(ValueError, match="leave out the drive"):
        filled_name("C:\\songs\\x", NOW, {}, {})


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("%date:yyyy%/%AceComposerSample.seed%", ()),
        ("100% pure, 50% sure %year%", ()),
        ("%seed%", ("%seed% in the file name stays as it is: no node of the graph has such a value",)),
        (
            "%Nobody.seed%/%Nobody.seed%",
            ("%Nobody.seed% in the file name stays as it is: no node of the graph has such a value",),
        ),
        ("%AceComposerBlueprint.caption%" * 8, ("the file name is cut: it is too long for some systems",)),
    ],
)
def test_what_is_not_filled_or_cut_is_said(prefix: str, said: tuple[str, ...]) -> None:
    assert filled_name(prefix, NOW, PROMPT, WORKFLOW).notes == said
