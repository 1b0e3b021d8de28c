"""`python -m ace_core COMMAND`; see `terminal.main`."""

import sys

from .terminal.main import main

if __name__ == "__main__":
    sys.exit(main())
