"""The websocket client against frames written by hand from RFC 6455."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest
from websocket_receiver import WebSocket

WAIT_SECONDS = 5.0


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A server's frame: unmasked, with the shortest length field that fits."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    return bytes([(0x80 if final else 0) | opcode]) + length + payload


@pytest.fixture
def connection() -> Iterator[tuple[WebSocket, socket.socket]]:
    """A connected client and the server's end of the wire."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def accept() -> None:
        peer, _ = listener.accept()
        request = peer.recv(4096).decode("ascii")
        key = next(line.split(": ")[1] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode("ascii")).digest()
        answer = base64.b64encode(digest).decode("ascii")
        peer.sendall(f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {answer}\r\n\r\n".encode("ascii"))
        accepted.append(peer)

    server = threading.Thread(target=accept)
    server.start()
    client = WebSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws?clientId=x")
    server.join()
    yield client, accepted[0]
    client.close()
    accepted[0].close()
    listener.close()


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 200_000])
def test_text_of_every_length_field(connection: tuple[WebSocket, socket.socket], size: int) -> None:
    client, peer = connection
    sender = threading.Thread(target=peer.sendall, args=(frame(0x1, b"a" * size),))
    sender.start()
    assert client.receive(WAIT_SECONDS) == "a" * size
    sender.join()


def test_fragments_are_joined_around_a_ping_which_is_answered(connection: tuple[WebSocket, socket.socket]) -> None:
    client, peer = connection
    peer.sendall(frame(0x1, b"one ", final=False) + frame(0x9, b"ping") + frame(0x0, b"two"))
    assert client.receive(WAIT_SECONDS) == "one two"
    head = peer.recv(6)
    assert head[0] == 0x80 | 0xA and head[1] == 0x80 | 4
    assert bytes(byte ^ head[2 + index] for index, byte in enumerate(peer.recv(4))) == b"ping"


def test_binary_messages_are_dropped(connection: tuple[WebSocket, socket.socket]) -> None:
    client, peer = connection
    peer.sendall(frame(0x2, b"preview", final=False) + frame(0x0, b"rest") + frame(0x1, b"text"))
    assert client.receive(WAIT_SECONDS) == "text"


def test_a_timeout_inside_a_frame_loses_nothing(connection: tuple[WebSocket, socket.socket]) -> None:
    client, peer = connection
    message = frame(0x1, "caf\u00e9".encode())
    peer.sendall(message[:3])
    assert client.receive(0.05) is None
    peer.sendall(message[3:])
    assert client.receive(WAIT_SECONDS) == "caf\u00e9"


@pytest.mark.parametrize("goodbye", [frame(0x8, b"\x03\xe8"), b""], ids=["close frame", "closed socket"])
def test_a_closed_connection_is_an_error(connection: tuple[WebSocket, socket.socket], goodbye: bytes) -> None:
    client, peer = connection
    peer.sendall(goodbye)
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError, match="closed"):
        client.receive(WAIT_SECONDS)


def test_a_server_that_speaks_no_websocket_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        server = threading.Thread(target=refuse)
        server.start()
        with pytest.raises(ConnectionError, match="403 Forbidden"):
            WebSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws")
        server.join()
