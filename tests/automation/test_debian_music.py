"""Encoded music for the host tests: what was fetched is found, and it is fetched only where that can work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import debian_music
import pytest

import dev


def test_the_files_are_found_wherever_the_packages_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_music, "FOLDER", tmp_path / "absent")
    assert debian_music.find_music() == {}
    monkeypatch.setattr(debian_music, "FOLDER", tmp_path)
    loop = tmp_path / "usr" / "share" / "doc" / "house_lo.ogg"
    loop.parent.mkdir(parents=True)
    loop.touch()
    assert debian_music.find_music() == {"house_lo.ogg": loop}


@pytest.mark.parametrize(
    ("missing", "apt", "user", "fetched"),
    [(True, True, 0, 1), (False, True, 0, 0), (True, False, 0, 0), (True, True, 1000, 0)],
    ids=["possible", "there already", "not Debian", "not root"],
)
def test_music_is_fetched_where_it_is_missing_and_can_be(
    monkeypatch: pytest.MonkeyPatch, missing: bool, apt: bool, user: int, fetched: int
) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(dev, "find_music", lambda: {} if missing else dict.fromkeys(dev.FILES, Path()))
    monkeypatch.setattr(dev.shutil, "which", lambda _: "/usr/bin/apt-get" if apt else None)
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    dev.prepare_music()
    assert commands == [["sh", "-c", debian_music.FETCH_COMMAND]] * fetched
