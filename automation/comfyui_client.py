"""A client of ComfyUI's HTTP and websocket interface, standard library only.

Traps it takes care of:
- `prompt_id` is a lower-case UUID (hosts since 0.25.0 refuse anything else) and `client_id` is always sent: without it
  a fully cached run has no outputs in the history.
- The websocket is opened before a prompt is queued, so that no event of the run is missed.
- `execution_success` is sent before the history is written; a run has ended when its history entry exists.
- A history entry can be seen before the run's last events have arrived, above all on a busy machine.
- Proxy settings of the environment are ignored: the server is nearly always this machine.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websocket_receiver import WebSocket

Prompt = Mapping[str, Mapping[str, Any]]  # API format: node id -> {"class_type", "inputs", "_meta"}
Event = Mapping[str, Any]  # {"type": ..., "data": {...}} as ComfyUI sends it
EventCallback = Callable[[Event], None]

DEFAULT_SERVER = "127.0.0.1:8188"
MAX_ANSWER_BYTES = 64_000_000  # of everything but results
MAX_RESULT_BYTES = 4_000_000_000
QUIET_SECONDS = 1.0  # after so long without an event the history is asked


class HostError(RuntimeError):
    """ComfyUI refused a request or a run failed; the text is fit for the user."""


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """Turn an answer that no ComfyUI gives into one sentence."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise HostError(
            f"{what} is not what ComfyUI sends ({type(error).__name__}: {str(error)[:200]}): is there a login page or "
            "another program at this address?"
        ) from error


class RequestRefused(HostError):
    """The server answered with an HTTP error status."""

    def __init__(self, status: int, body: bytes, address: str) -> None:
        super().__init__(f"ComfyUI answered {status} to {address}: {body.decode('utf-8', 'replace').strip()[:500]}")
        self.status = status
        self.body = body


class PromptRejected(HostError):
    """A part of the prompt did not pass validation, so nothing of it runs. `node_errors`: ComfyUI's answer per node."""

    def __init__(self, message: str, node_errors: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.node_errors = node_errors


def node_name(prompt: Prompt, node_id: str) -> str:
    """How a node is shown to the user: its title, else its class, with its id."""
    node = prompt.get(node_id, {})
    title = node.get("_meta", {}).get("title") or node.get("class_type", "node")
    return f"{title} (node {node_id})"


def run_failure(entry: Mapping[str, Any], prompt: Prompt) -> str | None:
    """Say why a finished run failed, or None when it succeeded. `entry` is its history entry."""
    with _understood("the history"):
        messages = {kind: details for kind, details in entry["status"]["messages"]}
        if details := messages.get("execution_error"):
            where = node_name(prompt, details["node_id"])
            return f"{where}: {details['exception_type']}: {details['exception_message'].strip()}"
        if details := messages.get("execution_interrupted"):
            return f"interrupted at {node_name(prompt, details['node_id'])}"
        return None


class ComfyUIClient:
    """One connection to a server given as ``host:port`` or as a URL (``https://host/sub/path``)."""

    def __init__(self, server: str = DEFAULT_SERVER, *, request_timeout_seconds: float = 60.0) -> None:
        self.url = (server if "://" in server else f"http://{server}").rstrip("/")
        self.client_id = str(uuid.uuid4())
        self._timeout = request_timeout_seconds
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._websocket: WebSocket | None = None

    def __enter__(self) -> ComfyUIClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._websocket is not None:
            self._websocket.close()
            self._websocket = None

    def get(self, path: str, **query: str) -> bytes:
        return self._request(urllib.request.Request(self._address(path, query)))

    def get_json(self, path: str, **query: str) -> Any:
        with _understood(f"the answer to {path}"):
            return json.loads(self.get(path, **query))

    def post_json(self, path: str, payload: Any) -> Any:
        """Send `payload` as JSON; returns the JSON answer, or None when the answer is empty."""
        body = json.dumps(payload).encode("utf-8")
        headers = {"Content-Type": "application/json"}
        answer = self._request(urllib.request.Request(self._address(path), body, headers))
        with _understood(f"the answer to {path}"):
            return json.loads(answer) if answer else None

    def upload(self, path: Path) -> str:
        """Copy a file into the server's input folder; returns the name that a loader's widget takes."""
        boundary = uuid.uuid4().hex
        name = path.name.replace('"', "'")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode("utf-8") + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode("ascii")
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        content = self._request(urllib.request.Request(self._address("/upload/image"), body, headers))
        with _understood("the answer to /upload/image"):
            answer = json.loads(content)
            stored = str(answer["name"])
            return f"{answer['subfolder']}/{stored}" if answer.get("subfolder") else stored

    def submit(self, prompt: Prompt) -> str:
        """Queue a prompt in API format; returns its id. Raises PromptRejected when it does not validate."""
        self._connect()
        payload = {"prompt": prompt, "client_id": self.client_id, "prompt_id": str(uuid.uuid4())}
        try:
            answer = self.post_json("/prompt", payload)
        except RequestRefused as refusal:
            if refusal.status != 400:
                raise
            with _understood("the refusal of the prompt"):
                answer = json.loads(refusal.body)
        with _understood("the answer to /prompt"):
            node_errors = answer.get("node_errors") or {}
            if "error" in answer or node_errors:
                if "prompt_id" in answer:  # the host has queued the outputs that are valid and would drop the others
                    self.cancel(answer["prompt_id"])
                raise PromptRejected(_rejection_text(answer, prompt), node_errors)
            return str(answer["prompt_id"])

    def wait(
        self, prompt_id: str, *, on_event: EventCallback | None = None, timeout_seconds: float | None = None
    ) -> Mapping[str, Any]:
        """Wait for a queued prompt and return its history entry, whether it succeeded or not (see `run_failure`).

        `on_event` sees every event of this run. Raises TimeoutError, and HostError when the server goes away.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        websocket = self._connect()
        entry: Mapping[str, Any] | None = None
        while True:
            try:
                message = websocket.receive(QUIET_SECONDS)
            except (OSError, UnicodeDecodeError) as error:
                self.close()
                raise HostError(f"lost the connection to ComfyUI at {self.url}: {error}") from error
            if message is None:
                if entry is not None:
                    return entry
                entry = self._history_entry(prompt_id)
            else:
                with _understood("an event"):
                    event = json.loads(message)
                    ours = event.get("data", {}).get("prompt_id") == prompt_id
                    last = ours and event["type"] == "executing" and event["data"]["node"] is None
                if ours and on_event is not None:
                    on_event(event)
                if last and (entry := self._history_entry(prompt_id)):
                    return entry
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"the run {prompt_id} has not ended after {timeout_seconds:g} seconds")

    def run(
        self, prompt: Prompt, *, on_event: EventCallback | None = None, timeout_seconds: float | None = None
    ) -> Mapping[str, Any]:
        """Queue a prompt and wait for it: `submit`, then `wait`."""
        return self.wait(self.submit(prompt), on_event=on_event, timeout_seconds=timeout_seconds)

    def cancel(self, *prompt_ids: str) -> None:
        """Take prompts out of the queue, and interrupt the one that is running."""
        self.post_json("/queue", {"delete": list(prompt_ids)})
        for prompt_id in prompt_ids:
            self.post_json("/interrupt", {"prompt_id": prompt_id})

    def view(self, item: Mapping[str, str]) -> bytes:
        """Download one result as the history names it: ``{"filename", "subfolder", "type"}``."""
        with _understood("a result"):
            names = {name: str(item[name]) for name in ("filename", "subfolder", "type")}
        return self._request(urllib.request.Request(self._address("/view", names)), MAX_RESULT_BYTES)

    def _history_entry(self, prompt_id: str) -> Mapping[str, Any] | None:
        entries: Mapping[str, Mapping[str, Any]] = self.get_json(f"/history/{prompt_id}")
        with _understood("the history"):
            return entries.get(prompt_id)

    def _address(self, path: str, query: Mapping[str, str] | None = None) -> str:
        return self.url + path + (f"?{urlencode(query)}" if query else "")

    def _request(self, request: urllib.request.Request, max_bytes: int = MAX_ANSWER_BYTES) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content: bytes = response.read(max_bytes + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise RequestRefused(error.code, error.read(MAX_ANSWER_BYTES), request.full_url) from error
        except (OSError, HTTPException) as error:
            raise _unreachable(self.url, error) from error
        if len(content) > max_bytes:
            raise HostError(f"{request.full_url} answers with more than {max_bytes} bytes; that is too much")
        return content

    def _connect(self) -> WebSocket:
        if self._websocket is None:
            address = f"ws{self.url.removeprefix('http')}/ws?{urlencode({'clientId': self.client_id})}"
            try:
                self._websocket = WebSocket(address)
            except OSError as error:
                raise _unreachable(self.url, error) from error
        return self._websocket


def _unreachable(url: str, error: Exception) -> HostError:
    return HostError(f"no ComfyUI answers at {url} ({error}); is it running?")


def _rejection_text(answer: Mapping[str, Any], prompt: Prompt) -> str:
    error = answer.get("error", {"message": "The prompt failed validation"})
    lines = [": ".join(part for part in (error["message"], error.get("details")) if part)]
    for node_id, failure in (answer.get("node_errors") or {}).items():
        for problem in failure["errors"]:
            text = ": ".join(part for part in (problem["message"], problem.get("details")) if part)
            lines.append(f"  {node_name(prompt, node_id)}: {text}")
    return "\n".join(lines)
