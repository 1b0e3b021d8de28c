"""Which ComfyUI is used, and what it needs besides the virtual environment."""

from __future__ import annotations

from pathlib import Path

import hosts
import pytest
from host_process import PACK_NAME
from hosts import PACKAGES, find_comfyui, host_version, packages_folder, packages_for


def checkout(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "comfyui_version.py").write_text(f'# written by a build\n__version__ = "{version}"\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("version", "since"), [("0.3.75", None), ("0.32.1", None), ("0.33.0", (0, 33, 0)), ("0.101.0", (0, 33, 0))]
)
def test_a_host_needs_what_the_newest_release_before_it_needs(
    tmp_path: Path, version: str, since: tuple[int, ...] | None
) -> None:
    assert packages_for(checkout(tmp_path, version)) == (PACKAGES[since] if since else ())


def test_other_packages_have_another_folder() -> None:
    assert packages_folder(("one==1",)) != packages_folder(("one==2",))


def test_a_host_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="comfyui_version.py names no version"):
        host_version(checkout(tmp_path, "unknown"))


def test_comfyui_path_comes_first_and_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(ValueError, match="COMFYUI_PATH must name a ComfyUI checkout; there is no"):
        find_comfyui()
    (tmp_path / "main.py").touch()
    assert find_comfyui() == tmp_path


def test_the_comfyui_around_the_pack_comes_before_the_prepared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(hosts, "PACK_ROOT", tmp_path / "custom_nodes" / PACK_NAME)
    monkeypatch.setattr(hosts, "PREPARED_HOST", tmp_path / "prepared")
    assert find_comfyui() is None
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "main.py").touch()
    assert find_comfyui() == tmp_path / "prepared"
    (tmp_path / "main.py").touch()
    assert find_comfyui() == tmp_path
