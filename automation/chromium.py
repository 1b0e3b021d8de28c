"""Finds the Chromium that the browser tests drive. Standard library only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

INSTALL_COMMAND = "apt-get install -y chromium"
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
MAC_APPLICATIONS = ("Chromium", "Google Chrome")
WINDOWS_PROGRAMS = ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")


def find_chromium() -> Path | None:
    """Return CHROMIUM_PATH, a browser on PATH, or one where macOS and Windows install it; None when there is none."""
    if configured := os.environ.get("CHROMIUM_PATH"):
        return Path(configured)
    for command in COMMANDS:
        if found := shutil.which(command):
            return Path(found)
    candidates = [Path(f"/Applications/{name}.app/Contents/MacOS/{name}") for name in MAC_APPLICATIONS]
    for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)"):
        if folder := os.environ.get(variable):
            candidates += [Path(folder) / program for program in WINDOWS_PROGRAMS]
    return next((path for path in candidates if path.is_file()), None)
