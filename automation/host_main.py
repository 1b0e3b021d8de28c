"""Runs a ComfyUI's main.py and ends with the process that started it.

    python host_main.py /path/to/ComfyUI/main.py --cpu ...

The starter keeps this process's standard input open. When the starter ends, however it ends, the pipe closes and this
process leaves at once, so that a killed test run leaves no server behind, on any operating system. Where it leads a
process group of its own, what it has started goes with it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from pathlib import Path


def leave_with_starter() -> None:
    while os.read(0, 1):
        pass
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=leave_with_starter, daemon=True).start()
    main_file = Path(sys.argv[1]).resolve()
    sys.argv = [str(main_file), *sys.argv[2:]]
    sys.path[0] = str(main_file.parent)
    runpy.run_path(str(main_file), run_name="__main__")
