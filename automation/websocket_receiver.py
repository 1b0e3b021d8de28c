"""The receiving half of a websocket (RFC 6455), as much of it as ComfyUI's event stream needs.

It exists so that the client runs on any Python without installing a package. Text messages and pings are handled;
binary messages (previews) are dropped. A receive that times out loses nothing: partial frames stay in the buffer.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import time
from urllib.parse import urlsplit

HANDSHAKE_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
RECEIVE_BYTES = 65536
MAX_MESSAGE_BYTES = 256_000_000  # a server that sends more would fill the memory


class WebSocket:
    """An open connection to `url` (``ws://`` or ``wss://``); OSError when no websocket server answers there."""

    def __init__(self, url: str, *, connect_timeout_seconds: float = 30.0) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        self._socket = socket.create_connection((parts.hostname or "", port), timeout=connect_timeout_seconds)
        self._buffer = b""
        self._fragments: list[bytes] = []
        self._fragments_are_text = False
        try:
            if secure:
                context = ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
            self._shake_hands(parts.netloc, f"{parts.path or '/'}?{parts.query}")
        except BaseException:
            self._socket.close()
            raise

    def receive(self, timeout_seconds: float) -> str | None:
        """Return the next text message, or None when none was complete in time.

        Raises ConnectionError when the server has closed the connection.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            frame = self._take_frame()
            if frame is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._fill(remaining):
                    return None
                continue
            final, opcode, payload = frame
            if opcode == CLOSE:
                raise ConnectionError("the server closed the websocket")
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode != PONG:
                if opcode != CONTINUATION:
                    self._fragments, self._fragments_are_text = [], opcode == TEXT
                self._fragments.append(payload)
                if final and self._fragments_are_text:
                    return b"".join(self._fragments).decode("utf-8")

    def close(self) -> None:
        self._socket.close()

    def _shake_hands(self, host: str, target: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode("ascii")
        request = (
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(request.encode("ascii"))
        while b"\r\n\r\n" not in self._buffer:
            received = self._socket.recv(RECEIVE_BYTES)
            if not received:
                raise ConnectionError("the server closed the connection during the websocket handshake")
            self._buffer += received
            if len(self._buffer) > RECEIVE_BYTES:
                raise ConnectionError("the server answers the websocket handshake with too much")
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status, *header_lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in header_lines)}
        digest = hashlib.sha1((key + HANDSHAKE_SUFFIX).encode("ascii"), usedforsecurity=False).digest()
        if headers.get("sec-websocket-accept") != base64.b64encode(digest).decode("ascii"):
            raise ConnectionError(f"the server refused the websocket: {status}")

    def _fill(self, timeout_seconds: float) -> bool:
        self._socket.settimeout(timeout_seconds)
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError:
            return False
        if not received:
            raise ConnectionError("the server closed the connection")
        self._buffer += received
        return True

    def _take_frame(self) -> tuple[bool, int, bytes] | None:
        """Cut one whole frame off the buffer: (final, opcode, payload). Servers never mask their frames."""
        data = self._buffer
        if len(data) < 2:
            return None
        start, length = 2, data[1] & 0x7F
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(data) < start:
                return None
            length = int.from_bytes(data[2:start], "big")
        if length + sum(map(len, self._fragments)) > MAX_MESSAGE_BYTES:
            raise ConnectionError(f"the server sends a message of more than {MAX_MESSAGE_BYTES} bytes")
        if len(data) < start + length:
            return None
        self._buffer = data[start + length :]
        return bool(data[0] & 0x80), data[0] & 0x0F, data[start : start + length]

    def _send(self, opcode: int, payload: bytes) -> None:
        """Send a control frame (at most 125 bytes), masked as the standard asks of clients."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.settimeout(30.0)
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
