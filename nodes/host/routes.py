"""Addresses of the host's server that the page asks, below /acecomposer/.

Questions are answered with what a function returns, as JSON. Orders change a file, so they are taken from this server's
own page alone: the host refuses those of other sites where it serves this machine only, and a body that says it is JSON
is something that a browser sends to another site only with that site's consent, which the host does not give.

What the functions do takes time: they run beside the server's loop, orders one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web
from server import PromptServer

from ...ace_core.json_files import checked_json

Answer: TypeAlias = dict[str, Any]

_ROOT = "/acecomposer"
_MOST_BYTES = 10_000
_JSON = "application/json"


def add_question(name: str, answer: Callable[[Mapping[str, str]], Answer]) -> None:
    """GET: `answer` is given what stands behind the question mark of the address."""

    async def handle(request: web.Request) -> web.Response:
        return await _answered(answer, dict(request.query))

    _routes().get(f"{_ROOT}/{name}")(handle)


def add_order(name: str, carry_out: Callable[[Mapping[str, Any]], Answer]) -> None:
    """POST: `carry_out` is given the object that is sent."""
    one_at_a_time = asyncio.Lock()

    async def handle(request: web.Request) -> web.Response:
        if request.content_type != _JSON or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return _refused(f"send {_JSON} from this server's own page", 403)
        given = await _sent(request)
        if not isinstance(given, dict):
            return _refused(f"send a JSON object of at most {_MOST_BYTES} bytes", 400)
        async with one_at_a_time:
            return await _answered(carry_out, given)

    _routes().post(f"{_ROOT}/{name}")(handle)


def _routes() -> web.RouteTableDef:
    """Of the running server, which is there before any node is loaded."""
    table: web.RouteTableDef = getattr(PromptServer, "instance").routes  # noqa: B009 - it comes with the server
    return table


async def _sent(request: web.Request) -> object:
    """The JSON that was sent; None where it is none, or where it does not say that it is short."""
    if not 0 < (request.content_length or 0) <= _MOST_BYTES:
        return None
    try:
        return checked_json(await request.text())
    except (ValueError, LookupError):  # also an encoding that there is not
        return None


async def _answered(function: Callable[[Any], Answer], given: Mapping[str, Any]) -> web.Response:
    try:
        return web.json_response(await asyncio.to_thread(function, given))
    except FileNotFoundError as error:
        return _refused(str(error), 404)
    except (ValueError, OSError) as error:
        return _refused(str(error), 400)


def _refused(sentence: str, status: int) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
