"""The committed pictures: sizes that the registry takes, and a diagram that follows the code."""

from pathlib import Path

import pytest
from pictures import BOXES, way_of_a_song
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_the_icon_is_a_square_of_at_most_400_pixels() -> None:
    with Image.open(DOCS / "icon.png") as icon:
        assert icon.width == icon.height <= 400


def test_the_banner_is_21_to_9() -> None:
    with Image.open(DOCS / "banner.png") as banner:
        assert banner.width * 9 == banner.height * 21


def test_the_committed_way_of_a_song_is_the_drawn_one() -> None:
    assert (DOCS / "way_of_a_song.svg").read_text(encoding="ascii") == way_of_a_song()


@pytest.mark.parametrize("title", [box.title for box in BOXES.values() if "/" in box.title])
def test_the_way_of_a_song_names_places_of_the_engine(title: str) -> None:
    assert (ROOT / "ace_core" / title).exists()


def test_every_stage_of_a_song_is_on_the_way() -> None:
    helpers = {"__init__.py", "load.py", "prepare.py"}  # before the way begins, and of training
    stages = {path.name for path in (ROOT / "ace_core" / "stages").glob("*.py")} - helpers
    assert stages == {box.title.removeprefix("stages/") for box in BOXES.values() if box.title.startswith("stages/")}
