"""One Chromium for all browser tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from frontend import open_browser
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with open_browser(chromium_path) as opened:
        yield opened
