"""The nodes of ACE Composer, listed one by one."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from . import host
from .blueprint_files import AceComposerEditBlueprint, AceComposerLoadBlueprint, AceComposerSaveBlueprint
from .compose import AceComposerBlueprint, AceComposerEncode
from .decode import AceComposerDecode
from .listen import AceComposerAudioToCodes, AceComposerUnderstand
from .load import AceComposerLoadModels
from .load_planner import AceComposerLoadPlanner
from .plan import AceComposerPlan
from .sample import AceComposerSample
from .write import AceComposerRewrite, AceComposerWriteSong


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
            AceComposerLoadPlanner,
            AceComposerPlan,
            AceComposerWriteSong,
            AceComposerRewrite,
            AceComposerUnderstand,
            AceComposerEditBlueprint,
            AceComposerSaveBlueprint,
            AceComposerLoadBlueprint,
            AceComposerAudioToCodes,
        ]
