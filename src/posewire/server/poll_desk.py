"""Long polling: for networks that let no WebSocket through.

engine.io's transport of that name (https://socket.io/docs/v4/engine-io-protocol/): a GET that begins a session, GETs
that wait for what there is, POSTs with what the client has to say. The library opens sessions and moves them to a
WebSocket; the rest is here, for the library has no bound for sessions that never say who they are, nor for answers that
nobody asks for, and throws away what was said last.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import engineio.exceptions
import engineio.packet
import engineio.payload
from aiohttp import web

from posewire import clock
from posewire.errors import ProtocolError
from posewire.protocol import unwrap_frame
from posewire.server.origin_policy import LastingResponse
from posewire.server.poll_session import PollSession

logger = logging.getLogger(__name__)

_SEPARATOR: Final = "\x1e"
_MOST_PACKETS: Final = 1024
"""Of one POST; and its bytes are bounded as one message's are, in base64."""
_BODY_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 2.0
"""For what was said last to be asked for."""
_UNKNOWN, _BAD = 1, 3
"""engine.io's codes of errors."""


class PollDesk:
    """Answers requests of long polling.

    Args:
        eio: engine.io's server.
        handle: The library's way of handling a request.
        most_strangers: Sessions that may be not let in yet; then the oldest of them ends.
        seconds: Until one must be let in.
    """

    def __init__(
        self,
        eio: Any,
        handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
        *,
        most_strangers: int,
        seconds: float,
    ) -> None:
        self.sessions: dict[str, PollSession] = {}
        self.let_in: Callable[[web.BaseRequest], None] = lambda request: None
        """Lets a connection stay for as long as its request takes."""
        self._eio = eio
        self._handle = handle
        self._most_strangers = most_strangers
        self._seconds = seconds
        self._strangers: dict[PollSession, asyncio.TimerHandle] = {}

    # Sessions --------------------------------------------------------------------------------------------------------

    def opened(self, eio_socket: Any) -> PollSession:
        """Return a new session, which has to be let in before its time is up."""
        if len(self._strangers) >= self._most_strangers:
            self._turn_away(next(iter(self._strangers)), "too_many_strangers")
        session = PollSession(eio_socket, self.end)
        self.sessions[session.sid] = session
        self._strangers[session] = asyncio.get_running_loop().call_later(
            self._seconds, self._turn_away, session, "handshake_timeout"
        )
        return session

    def entered(self, session: PollSession) -> None:
        """It is known who this is."""
        if (timer := self._strangers.pop(session, None)) is not None:
            timer.cancel()
        for request in (*session.requests.values(), session.upgrade):
            if request is not None:
                self.let_in(request)

    def upgrading(self, session: PollSession, request: web.BaseRequest) -> None:
        """There is a WebSocket that a session may go on by."""
        session.upgrade = request
        if session not in self._strangers:
            self.let_in(request)

    def closed(self, eio_sid: str) -> None:
        """engine.io has closed a session; its client may still ask for what was said last."""
        if (session := self.sessions.get(eio_sid)) is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(session.socket.queue.put_nowait, None)  # behind what engine.io says; a GET that waits ends
            loop.call_later(_LINGER_SECONDS, self.end, session)

    def end(self, session: PollSession) -> None:
        """End a session at once. Idempotent."""
        if self.sessions.pop(session.sid, None) is None:
            return
        if (timer := self._strangers.pop(session, None)) is not None:
            timer.cancel()
        session.ended.set()
        session.socket.queue.put_nowait(None)  # a GET that waits is answered
        self._eio.start_background_task(self._close, session)

    def close(self) -> None:
        """End all sessions."""
        for session in list(self.sessions.values()):
            self.end(session)

    async def _close(self, session: PollSession) -> None:
        await session.socket.close(wait=False, abort=True, reason=self._eio.reason.TRANSPORT_ERROR)
        self._eio.sockets.pop(session.sid, None)
        self._eio.release(session.socket)

    def _turn_away(self, session: PollSession, reason: str) -> None:
        self._eio.drops[reason] += 1
        self.end(session)

    def _refuse(self, session: PollSession, exc: ProtocolError) -> LastingResponse:
        self._eio.drops[exc.reason] += 1
        logger.info("session of long polling ended: %s", exc)
        self.end(session)
        return refusal(exc.detail, status=413 if exc.reason == "oversized" else 400)

    # Requests --------------------------------------------------------------------------------------------------------

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of this transport; a GET when there is something."""
        if "j" in request.query:
            return refusal("JSONP is not served")
        sid = request.query.get("sid")
        if sid is None:
            if request.method != "GET":
                return refusal("a session begins with GET")
            return await self._handle(request)
        session = self.sessions.get(sid)
        if session is None or request.method not in ("GET", "POST"):
            return refusal("no such session", code=_UNKNOWN)
        if request.method in session.requests:
            # Which of two gets what? Their client is broken, or they are not of one client.
            return self._refuse(session, ProtocolError("engine.io", f"two requests at once, {request.method}"))
        session.requests[request.method] = request
        if session not in self._strangers:
            self.let_in(request)
        try:
            response = await (self._get(session, request) if request.method == "GET" else self._post(session, request))
        finally:
            del session.requests[request.method]
        if session not in self._strangers and sid in self.sessions:
            # Its next one comes at once, on the same connection, which is that of a member.
            response.lasting = True
        return response

    async def _get(self, session: PollSession, request: web.Request) -> LastingResponse:
        socket = session.socket
        if socket.upgrading or socket.upgraded:
            return _payload([engineio.packet.Packet(engineio.packet.NOOP)])
        if session.goodbye is not None:
            self.end(session)
            return _payload([session.goodbye])
        session.polled()
        try:
            packets = await socket.poll()
        except engineio.exceptions.QueueEmpty:
            self.end(session)
            return refusal("nothing was heard of this session any more")
        if len(packets) > 1 and packets[-1].packet_type == engineio.packet.CLOSE and request.transport is not None:
            # By itself, when it asks again: the client in JavaScript drops what comes together with it.
            session.goodbye = packets.pop()
        elif socket.closed or request.transport is None:
            # Its last word; or what was to be brought goes nowhere, and the client has to come back for it.
            self.end(session)
        return _payload(packets)

    async def _post(self, session: PollSession, request: web.Request) -> LastingResponse:
        handled = False
        try:
            for message in await self._read(request):
                await self._take(session, message)
            handled = True
        except ProtocolError as exc:
            return self._refuse(session, exc)
        except (engineio.exceptions.EngineIOError, web.RequestPayloadError) as exc:
            return self._refuse(session, ProtocolError("engine.io", str(exc) or type(exc).__name__))
        except ConnectionResetError as exc:
            logger.debug("a request was cut off: %s", exc)
        finally:
            if not handled:
                self.end(session)  # what came behind is lost, by a mistake of ours too
        return LastingResponse(text="ok")

    async def _read(self, request: web.Request) -> list[str | bytes]:
        most = self._eio.max_http_buffer_size * 4 // 3 + 4
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while data := await request.content.readany():
                    body += data
                    if len(body) > most:
                        raise ProtocolError("engine.io", f"more than {most} bytes in a request", reason="oversized")
        except TimeoutError:
            raise ProtocolError("engine.io", f"a request that takes more than {_BODY_SECONDS:g} s") from None
        try:
            pieces = body.decode().split(_SEPARATOR, _MOST_PACKETS)
            messages = [base64.b64decode(each[1:], validate=True) if each[:1] == "b" else each for each in pieces]
        except (UnicodeDecodeError, binascii.Error) as exc:
            raise ProtocolError("engine.io", f"a body that is none of engine.io: {exc}") from exc
        if len(pieces) > _MOST_PACKETS:
            raise ProtocolError("engine.io", f"more than {_MOST_PACKETS} packets in a request")
        return messages

    async def _take(self, session: PollSession, message: str | bytes) -> None:
        gate, handler = self._eio.gate(session.sid), self._eio.frame_handlers.get(session.sid)
        whole: str | bytes | None = gate.take(message)
        if whole is None:
            return
        if handler is not None and isinstance(whole, bytes) and (packet := unwrap_frame(whole)) is not None:
            handler(packet)
            return
        if delay := gate.check(whole, clock.monotonic(), let_in=handler is not None):
            await asyncio.sleep(delay)
        await session.socket.receive(engineio.packet.Packet(encoded_packet=whole))


def refusal(message: str, *, code: int = _BAD, status: int = 400) -> LastingResponse:
    """Return an error as engine.io has it."""
    text = json.dumps({"code": code, "message": message})
    return LastingResponse(text=text, content_type="application/json", status=status)


def _payload(packets: list[Any]) -> LastingResponse:
    return LastingResponse(text=engineio.payload.Payload(packets=packets).encode(), content_type="text/plain")
