"""Wrong values on every input of every node, and sound of other packs: see tests/inside/inside_graph_inputs.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Report = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report]) -> Report:
    report = run_inside("inside_graph_inputs.py")
    assert [case["error"] for case in report.values() if "error" in case] == []
    return report


def test_every_input_refuses_what_it_cannot_use_by_its_name(report: Report) -> None:
    assert report["wrong_inputs"]["silent"] == []
    assert report["wrong_inputs"]["checked"] > 500


def test_sound_of_any_type_and_layout_is_saved_in_every_encoding(report: Report) -> None:
    refused = {(name, *entry) for name, said in report["saved_sound"].items() for entry in said.items() if entry[1]}
    assert refused == set()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nan", "NaN or infinite"),
        ("empty", "is empty"),
        ("6 channels", "got 6 channels"),
        ("4 dimensions", "shape [batch, channels, samples]"),
        ("rate 0", "above 0 Hz, got 0"),
        ("rate -1", "above 0 Hz, got -1"),
        ("level 1e30", "where full scale is 1"),
    ],
)
def test_broken_sound_is_refused_in_every_encoding(report: Report, name: str, sentence: str) -> None:
    said = report["broken_sound"][name]
    assert {encoding: text for encoding, text in said.items() if not text.startswith("ValueError: ")} == {}
    assert all(sentence in text for text in said.values())


def test_a_rate_that_only_some_encodings_have_is_refused_by_the_others(report: Report) -> None:
    said = report["broken_sound"]["rate 2000000000"]
    assert said["flac 24 bit"].startswith(
        "ValueError: this sound cannot be saved as flac, with 2 channels at 2000000000"
    )
    assert said["wav 16 bit"] == ""


def test_names_that_no_file_can_have_are_refused_or_mended(report: Report) -> None:
    said = list(report["wrong_names"].values())
    assert len(said) == 7
    for sentence in (sentence for both in said[:3] for sentence in both):
        assert sentence.startswith("ValueError: the name ") and "choose" in sentence
    assert said[3:] == [["", ""]] * 4  # cut, or without what is illegal
