"""The nodes of ACE Composer, listed one by one."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from . import host
from .compose import AceComposerBlueprint, AceComposerEncode
from .decode import AceComposerDecode
from .load import AceComposerLoadModels
from .sample import AceComposerSample


class AceComposerExtension(ComfyExtension):
    """What ComfyUI loads; also makes the model folder `ace_step` known."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        host.register_model_folder()
        return [
            AceComposerLoadModels,
            AceComposerBlueprint,
            AceComposerEncode,
            AceComposerSample,
            AceComposerDecode,
        ]
