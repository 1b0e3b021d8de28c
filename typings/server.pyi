from typing import ClassVar

from aiohttp.web import RouteTableDef

class PromptServer:
    instance: ClassVar[PromptServer]
    routes: RouteTableDef
    def send_progress_text(self, text: str, node_id: str) -> None: ...
