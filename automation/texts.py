"""Writes the texts that follow from the nodes: what `dev.py texts` starts.

    python dev.py texts            # after a change of a node's inputs, outputs, tooltips or description
    python dev.py texts zh ja      # also brings these languages up to date
    python dev.py texts all        # every language

Prints the files that changed, and what is left to translate in translations/LANGUAGE.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from catalogues import LOCALES, PAGES, add_languages, read_json, update_all
from comfyui_client import ComfyUIClient
from contract import own_nodes, projection
from host_process import HostProcess
from hosts import find_comfyui
from node_texts import as_json, english_texts, help_page
from written_files import write


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py texts", description="Write the texts that follow from the nodes.")
    add_languages(parser)
    languages = parser.parse_args().language
    comfyui = find_comfyui()
    if comfyui is None:
        parser.error("there is no ComfyUI yet; start this through dev.py, which prepares one")
    with tempfile.TemporaryDirectory(prefix="ace-composer-texts-") as scratch:
        with HostProcess(comfyui, Path(scratch)) as host, ComfyUIClient(host.url) as client:
            nodes = own_nodes(client)
    english = english_texts(nodes)
    wires = read_json(LOCALES / "en" / "main.json")["dataTypes"]
    write(LOCALES / "en" / "nodeDefs.json", as_json(english))
    for node_id, node in nodes.items():
        page = PAGES / f"{node_id}.md"
        write(page, help_page(page.read_text(encoding="utf-8"), projection(node_id, node), english[node_id], wires))
    update_all(parser, languages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
