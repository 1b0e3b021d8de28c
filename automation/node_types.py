"""Checks the types of the nodes with mypy: the second half of `dev.py test types`.

The nodes import the engine from the package around both, whose name is that of the checkout's folder and may be no
name of Python (ComfyUI does not care). So a link gives it one. What they use of ComfyUI is declared in typings/.
"""

from __future__ import annotations

import os
import subprocess
import sys

from host_process import PACK_ROOT, link_directory

PACKAGE = "ace_composer"


def main() -> int:
    links = PACK_ROOT / ".host" / "types"
    link_directory(links / PACKAGE, PACK_ROOT)
    search = os.pathsep.join((str(links), str(PACK_ROOT / "typings")))
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "-p", f"{PACKAGE}.nodes"]
    return subprocess.run(command, cwd=PACK_ROOT, env={**os.environ, "MYPYPATH": search}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
