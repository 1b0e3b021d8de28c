from typing import Any, ClassVar

from aiohttp.web import RouteTableDef

class PromptServer:
    instance: ClassVar[PromptServer]
    client_id: str | None
    routes: RouteTableDef

    def send_sync(self, event: str, data: dict[str, Any], sid: str | None) -> None: ...
