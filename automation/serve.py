"""Runs a ComfyUI with this pack until Ctrl-C: what `dev.py serve` starts.

Its files (saved workflows, outputs) stay in .host/serve between runs.
"""

from __future__ import annotations

import argparse
import sys
import time

from host_process import PACK_ROOT, HostProcess, HostStartError
from hosts import find_comfyui
from stand_in_models import NOTICE, models_folder, write_stand_in_models

SERVE_DIRECTORY = PACK_ROOT / ".host" / "serve"
DEFAULT_PORT = 8188


def has_accelerator() -> bool:
    import torch  # takes seconds, and only this question needs it

    return torch.accelerator.is_available()


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py serve", description="Run a ComfyUI with this pack.")
    parser.add_argument("--models", type=models_folder, metavar="DIR", help="a ComfyUI models folder")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s")
    options = parser.parse_args()
    comfyui = find_comfyui()
    if comfyui is None:
        parser.error("there is no ComfyUI yet; start this through dev.py, which prepares one")
    models = options.models or write_stand_in_models(SERVE_DIRECTORY / "stand_in_models")
    host = HostProcess(comfyui, SERVE_DIRECTORY, models=models, port=options.port, cpu=not has_accelerator())
    print("starting ComfyUI...", file=sys.stderr)
    try:
        with host:
            print(f"ComfyUI with ACE Composer: {host.url}\nlog: {host.log_path}\noutputs: {SERVE_DIRECTORY / 'output'}")
            if options.models is None:
                print(NOTICE.format(command="serve"))
            print("Ctrl-C stops it.", flush=True)
            while host.is_running():
                time.sleep(0.5)
    except HostStartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    print(f"error: ComfyUI has ended; see {host.log_path}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
