"""One Chromium for all browser tests, with as much patience as a busy machine needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from frontend import TIMEOUT_MILLISECONDS, open_browser
from playwright.sync_api import Browser, expect

expect.set_options(timeout=TIMEOUT_MILLISECONDS)


@pytest.fixture(scope="session")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with open_browser(chromium_path) as opened:
        yield opened
