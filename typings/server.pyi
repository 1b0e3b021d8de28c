from typing import Any, ClassVar

class PromptServer:
    instance: ClassVar[PromptServer]
    client_id: str | None

    def send_sync(self, event: str, data: dict[str, Any], sid: str | None) -> None: ...
