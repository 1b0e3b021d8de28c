"""The music box and a book of its songs, made once for all tests."""

from __future__ import annotations

import pytest
from music_box_engine import NETWORKS, Engine, load_music_box
from songbook import COUNT, Recording, random_songs, recorded

from ace_core.loaded import AcePlanner
from ace_core.music_box.files import MusicBoxFiles, music_box_files
from ace_core.stages.load import load_planner


@pytest.fixture(scope="session")
def box_files(tmp_path_factory: pytest.TempPathFactory) -> MusicBoxFiles:
    return music_box_files(tmp_path_factory.mktemp("music_box"))


@pytest.fixture(scope="session")
def box(box_files: MusicBoxFiles) -> Engine:
    return load_music_box(box_files)


@pytest.fixture(scope="session")
def base_box(box_files: MusicBoxFiles) -> Engine:
    return load_music_box(box_files, "base")


@pytest.fixture(scope="session")
def planner(box_files: MusicBoxFiles) -> AcePlanner:
    return load_planner(NETWORKS, box_files.planner, precision="float32")


@pytest.fixture(scope="session")
def songbook(box: Engine) -> list[Recording]:
    return recorded(box, random_songs(COUNT, seed=1))
