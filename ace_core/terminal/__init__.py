"""The engine from a terminal: `python -m ace_core COMMAND`. Needs no ComfyUI."""
