"""A session: the parts, wired, under one TaskGroup inside one owned task."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import logging
import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypeVar, overload

import msgspec

from posewire.config import Config, load_config
from posewire.errors import ConfigurationError, ConnectionError, PosewireError, RoomError
from posewire.flow import SendOutcome
from posewire.lifetime import cancel_and_wait, failure_of, own
from posewire.monitor import AlertManager, PerformanceMonitor, PerformanceReport, save_performance_data
from posewire.protocol import RoomKey
from posewire.receiver import OneEuro, Receiver, Subscription
from posewire.recovery import ErrorRecoveryChain
from posewire.rooms import RoomManager
from posewire.sender import MediaSender, PoseSender, UnifiedSender
from posewire.session.alert_runner import AlertRunner
from posewire.session.link_security import check_link
from posewire.session.sampler import Sampler
from posewire.session.session_figures import SessionFigures
from posewire.sockets import Event, SocketManager, TokenProvider

logger = logging.getLogger(__name__)

_FLUSH_SECONDS: Final = 1.0
"""How long a session that ends well waits for what it still has to send."""

_Entered = tuple[weakref.ref["Session"], ...]
_entered: contextvars.ContextVar[_Entered] = contextvars.ContextVar("posewire.sessions", default=())
"""The sessions of the current context, the one entered last at the end. Weak: every task begun meanwhile has a copy."""


def current_session() -> Session | None:
    """Return the session entered last in the current context and not left yet."""
    return next((session for each in reversed(_entered.get()) if (session := each()) is not None), None)


_H = TypeVar("_H", bound=Callable[[Event], Any])


class Session:
    """One member's connection to a server, usually in a room. Made by `posewire.connect`, used with ``async with``.

    All it runs (pipeline, heartbeat, supervisor, room sync, handlers, sampler) is tasks of one TaskGroup inside one
    owned task. When one of them fails for good, every call and every ``frames()`` loop raises the error, and so does
    the end of the ``async with`` block if nobody saw it: never an ExceptionGroup.

    Attributes:
        socket: The connection.
        rooms: Rooms.
        sender: The pipeline.
        pose: Poses on top of it.
        media: Whole captures and sound on top of it.
        receiver: What arrives, with figures.
        monitor: Figures, of what is sent above all.
        alerts: Says when a figure is past its threshold: callbacks, and the event ``alert``.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenProvider | None = None,
        credentials: Mapping[str, str] | None = None,
        room: str | None = None,
        room_key: bytes | str | None = None,
        config: Config | None = None,
    ) -> None:
        if config is not None and not isinstance(config, Config):
            raise ConfigurationError("config", type(config).__name__, "expected a posewire.Config or None")
        config = load_config() if config is None else config
        self.config = msgspec.structs.replace(config, socket=msgspec.structs.replace(config.socket, url=url))
        self.alerts = AlertManager(cooldown=self.config.monitor.alert_cooldown / 1000)
        self.alerts.set_thresholds(self.config.monitor.thresholds)
        self.monitor = PerformanceMonitor(self.config.monitor.window_size, alerts=self.alerts)
        self.monitor.active = self.config.monitor.enabled
        self.socket = SocketManager(self.config, token=token, credentials=credentials)
        self._check_link = functools.partial(
            check_link,
            encryption_enabled=self.config.security.encryption_enabled,
            sealed=room_key is not None,
            password=bool((credentials or {}).get("password")),
        )
        self.socket.check_endpoints(self._check_link)
        self.rooms = RoomManager(self.socket, room_key=None if room_key is None else RoomKey(room_key))
        self.sender = UnifiedSender(
            self.socket, self.rooms, self.monitor, config=self.config.sender, media=self.config.media
        )
        self.pose = PoseSender(self.socket, self.rooms, self.sender, self.monitor)
        self.media = MediaSender(self.sender, self.config.media)
        self.receiver = Receiver(self.socket, self.rooms, self.config.receiver)
        self._figures = SessionFigures(self.socket, self.sender, self.receiver, self.monitor)
        runner = AlertRunner(self.alerts, self.socket.dispatch)
        self._sampler = Sampler(self.monitor, self._figures, runner, self.config.monitor)
        self._room = room
        self._task: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._failure: BaseException | None = None
        self._failure_seen = False

    @property
    def user_id(self) -> str:
        """Who we are, as the server says."""
        return self.socket.user_id

    @property
    def recovery(self) -> ErrorRecoveryChain:
        """Decides what is done against each failure of the connection; see docs/topics/recovery.md."""
        return self.socket.recovery

    # Lifetime --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, join the room, start; waits for the server. Cancelling leaves nothing behind.

        Raises:
            AuthError: The token or the credentials are not accepted.
            ConnectionError: The server cannot be reached.
            RoomError: The room cannot be joined.
            SecurityError: The link is plain text and leaves this machine, and there is no room key, or a password.
        """
        if self._task is not None:
            raise RuntimeError("a Session is entered once; call posewire.connect for another")
        for url in self.socket.get_endpoint_usage():
            self._check_link(url)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="posewire.session")
        opened = asyncio.get_running_loop().create_task(self._open.wait(), name="posewire.session.opening")
        try:
            await asyncio.wait((self._task, opened), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await cancel_and_wait(self._task)
            raise
        finally:
            await cancel_and_wait(opened)
        if self._task.done():
            self._check()
        _entered.set((*_entered.get(), weakref.ref(self)))
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        # Sessions are left in any order.
        _entered.set(tuple(each for each in _entered.get() if each() not in (self, None)))
        if exc_type is None and self._failure is None and self.socket.connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self.sender.flush()
        await self.aclose()
        if exc_type is None and self._failure is not None and not self._failure_seen:
            raise self._failure

    async def aclose(self) -> None:
        """End the session in bounded time: the connection says goodbye, ``frames()`` loops end. Idempotent.

        From one of the session's own event handlers it only asks for the end and does not wait for it.
        """
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def wait_ended(self) -> None:
        """Wait until the session is over. Cancelling is safe.

        Raises:
            PosewireError: What ended it, when it was not `aclose`.
        """
        if self._task is not None:
            await asyncio.wait([self._task])
            if self._failure is not None:
                raise self._seen_failure()

    async def _run(self) -> None:
        # The one supervisor: whatever ends a part ends the session, and is kept for whoever uses it next.
        own()
        try:
            await self.socket.dial()
            if self._room is not None:
                await self.rooms.join_room(self._room, create=True)
            loops: dict[str, Callable[[], Any]] = {
                **self.socket.loops(),
                "rooms": self.rooms.run,
                "keys": self.rooms.follow_keys,
                "pipeline": self.sender.run,
                "adaptation": self.pose.run,
                "keyframes": self.receiver.run,
                "sampler": self._sampler.run,
            }
            async with asyncio.TaskGroup() as group:
                for name, loop in loops.items():
                    group.create_task(loop(), name=f"posewire.{name}")
                self._open.set()
        except BaseExceptionGroup as failures:
            self._failure = _first(failures)
        except PosewireError as failure:
            self._failure = failure
        finally:
            if self._failure is not None:
                logger.info("session ended: %s", self._failure)
            self.rooms.end()
            self.receiver.end(self._seen_failure if self._failure is not None else None)
            await self.socket.hang_up()

    def _seen_failure(self) -> BaseException:
        """Return what ended the session, for somebody who will raise it."""
        assert self._failure is not None
        self._failure_seen = True
        # A copy: an exception that is raised again and again grows a traceback without end.
        return copy.copy(self._failure) if isinstance(self._failure, PosewireError) else self._failure

    def _check(self) -> None:
        """Raise what ended the session; every public call begins here."""
        if self._failure is not None:
            raise self._seen_failure()
        if self._task is None:
            raise ConnectionError("the session is not open; use it with 'async with'")
        if self._task.done():
            if (error := failure_of(self._task)) is not None:
                raise error
            raise ConnectionError("the session is closed")

    # Sending ---------------------------------------------------------------------------------------------------------

    async def send_pose(
        self, pose: Any, stream: str = "pose", timestamp: float | None = None, priority: int = 5
    ) -> SendOutcome:
        """Hand a pose in for the others in the room; the newest of a stream replaces one that still waits.

        Does not wait for the network; cancelling is safe. An all-NaN pose is sent: it says that nobody was found.
        ``media.pause()`` is of whole captures and sound, and does not hold it back; ``sender.pause()`` does.

        Args:
            pose: A `PoseData`, an ``[N, 4]`` array of x, y, z, visibility, a list of such dicts, or a MediaPipe result.
            stream: Name of the stream.
            timestamp: Capture time, seconds on the scale of ``time.time()``; by default the pose's own, else now.
            priority: Higher goes first.

        Returns:
            ``ACCEPTED``, ``REPLACED`` (an older one that waited), or ``DROPPED``; true when it was taken.

        Raises:
            DataValidationError: It is no pose; the message names field, value and what was expected.
            RoomError: We are in no room, or may not publish.
            PosewireError: What ended the session.
        """
        self._check()
        return await self.pose.send(pose, stream, timestamp, priority)

    async def send_audio(
        self, pcm: Any, stream: str = "audio", timestamp: float | None = None, priority: int = 8
    ) -> SendOutcome:
        """Hand a chunk of sound in for the others in the room; in order, dropped when it waited too long.

        Does not wait for the network; cancelling is safe.

        Args:
            pcm: int16 bytes or an array at the rate of ``config.media``, or an `AudioChunk`. With ``media.codec``
                ``opus`` it leaves in packets of 20 ms; what does not fill one waits for the next.
            stream: Name of the stream.
            timestamp: Time of the first sample, seconds on the scale of ``time.time()``.
            priority: Higher goes first.

        Raises:
            DataValidationError: It is no sound.
            ConfigurationError: It is to be coded by Opus, and the extra ``audio`` is not installed.
            RoomError: We are in no room, or may not publish.
            PosewireError: What ended the session.
        """
        self._check()
        return await self.media.send_audio(pcm, stream, timestamp, priority)

    async def send_event(self, name: str, data: Any = None) -> None:
        """Send an event to the others in the room and wait until the server has it.

        Cancelling gives up the waiting; the event may still arrive.

        Args:
            name: What the others' ``session.on(name)`` listens for.
            data: Anything msgpack can hold: numbers, text, bytes, lists, maps.

        Raises:
            DataValidationError: The name or the data cannot travel.
            RoomError: We are in no room, or may not publish.
            QueueFullError: Too many events wait.
            PosewireError: What ended the session.
        """
        self._check()
        await self.sender.send_event(name, data)

    # Receiving -------------------------------------------------------------------------------------------------------

    def frames(
        self,
        kind: str = "pose",
        user_id: str | None = None,
        stream: str | None = None,
        *,
        playout: str | None = None,
        delay: float | None = None,
        fps: float | None = None,
        smoothing: OneEuro | None = None,
    ) -> Subscription:
        """Return an async iterator of the others' frames, from now on.

        A loop that falls behind loses the oldest frames (`Subscription.dropped` counts them). The loop ends when the
        session is closed and raises when it failed. Cancelling a wait loses nothing.

        Args:
            kind: ``pose`` or ``audio``.
            user_id: Only of this member.
            stream: Only of this stream.
            playout: ``latest``: each frame as it comes. ``smooth``: poses on an even schedule, each interpolated at
                exactly the moment that is shown then; sound at even times. ``timecode``: sound and poses of a member,
                of loops with the same arguments, each released as long after its capture as the other; the event
                ``synchronization`` tells when that cannot be. By default ``receiver.playout``.
                See docs/topics/playout.md.
            delay: Seconds that frames are shown later than the network would allow. By default
                ``receiver.playout_delay``; when that is 0, the delay follows the jitter.
            fps: With ``smooth``, poses a second; by default as many as the sender captures.
            smoothing: How landmarks that tremble are smoothed.

        Raises:
            RoomError: We may not subscribe in this room.
            InvalidDataError: No such kind or playout, or arguments that do not fit.
        """
        state = self.rooms.state
        member = state.members.get(self.user_id) if state is not None else None
        if state is not None and member is not None and not member.subscribe:
            raise RoomError(state.room_id, f"{member.id} may not subscribe here")
        return self.receiver.subscribe(
            kind, user_id, stream, playout=playout, delay=delay, fps=fps, smoothing=smoothing
        )

    @overload
    def on(self, event: str, handler: _H) -> _H: ...
    @overload
    def on(self, event: str, handler: None = None) -> Callable[[_H], _H]: ...
    def on(self, event: str, handler: Any = None) -> Any:
        """Call ``handler(Event)``, sync or async, on every ``event`` of the others; see `SocketManager.on`.

        Handlers run one after the other, in the order of the events: one that takes long holds up the next.
        """
        return self.socket.on(event, handler)

    # Figures ---------------------------------------------------------------------------------------------------------

    def get_performance_metrics(self) -> dict[str, float]:
        """Return the figures of sending by name, and the worst ``age_p50/p95/p99`` (seconds) of what is received."""
        received = self.receiver.stats()
        return {
            **self.monitor.get_stats(),
            "age_p50": max((stream.age_p50 for stream in received), default=0.0),
            "age_p95": max((stream.age_p95 for stream in received), default=0.0),
            "age_p99": max((stream.age_p99 for stream in received), default=0.0),
            "round_trip": self.socket.status.round_trip,
        }

    def generate_performance_report(self) -> PerformanceReport:
        """Return all figures of this moment with the last hour, alerts and recommendations; also after the end.

        ``to_dict()`` and ``to_json()`` make it data, `posewire.report_markdown` and `posewire.report_page` text.
        """
        if self.monitor.active and self._task is not None and not self._task.done():
            self._sampler.look()  # the last second counts, too
        return self._figures.report()

    async def save_performance_data(self, path: str | os.PathLike[str]) -> None:
        """Write the report of this moment as JSON, beside the event loop; `posewire.load_performance_data` reads it.

        Cancelling leaves the writing to end by itself; the file is the old one or the new one, never half of it.

        Raises:
            MonitoringError: The file cannot be written.
        """
        report = self.generate_performance_report()
        await asyncio.to_thread(save_performance_data, report, path)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
