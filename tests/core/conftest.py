"""The engines that the tests of whole runs share."""

from __future__ import annotations

import pytest
from tiny_engine import Engine, load_engine


@pytest.fixture(scope="session")
def turbo(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(tmp_path_factory.mktemp("turbo"), "turbo")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(tmp_path_factory.mktemp("base"), "base")
