"""`python -m ace_core COMMAND`; see `terminal.main`."""

import sys

try:
    from .terminal.main import main
except ModuleNotFoundError as error:  # before `doctor` can say so
    sys.exit(f"ace_core: a package is missing: pip install {error.name}")

if __name__ == "__main__":
    sys.exit(main())
