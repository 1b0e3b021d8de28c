"""Writes the texts that follow from the nodes: what `dev.py texts` starts.

    python dev.py texts            # after a change of a node's inputs, outputs, tooltips or description
    python dev.py texts zh         # also gives locales/zh the keys of the English texts

Prints the files that changed, and the texts that a language still lacks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from comfyui_client import ComfyUIClient
from contract import own_nodes, projection
from host_process import PACK_ROOT, HostProcess
from hosts import find_comfyui
from node_texts import as_json, english_texts, help_page, translated_texts

LOCALES = PACK_ROOT / "locales"
PAGES = PACK_ROOT / "js" / "docs"
NODE_TEXTS = "nodeDefs.json"


def write(path: Path, text: str) -> None:
    """Write a file if that changes it, all of it or nothing, and print its name."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)
    print(path.relative_to(PACK_ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py texts", description="Write the texts that follow from the nodes.")
    languages = [path.name for path in LOCALES.iterdir() if path.name != "en"]
    parser.add_argument("language", nargs="?", choices=languages, help="also bring these texts up to date")
    options = parser.parse_args()
    comfyui = find_comfyui()
    if comfyui is None:
        parser.error("there is no ComfyUI yet; start this through dev.py, which prepares one")
    with tempfile.TemporaryDirectory(prefix="ace-composer-texts-") as scratch:
        with HostProcess(comfyui, Path(scratch)) as host, ComfyUIClient(host.url) as client:
            nodes = own_nodes(client)
    english = english_texts(nodes)
    wires = json.loads((LOCALES / "en" / "main.json").read_text(encoding="utf-8"))["dataTypes"]
    write(LOCALES / "en" / NODE_TEXTS, as_json(english))
    for node_id, node in nodes.items():
        page = PAGES / f"{node_id}.md"
        write(page, help_page(page.read_text(encoding="utf-8"), projection(node_id, node), english[node_id], wires))
    if options.language:
        path = LOCALES / options.language / NODE_TEXTS
        translated, missing = translated_texts(english, json.loads(path.read_text(encoding="utf-8")))
        write(path, as_json(translated))
        for text in missing:
            print(f"not translated: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
