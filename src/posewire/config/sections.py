"""The sections of the settings. `config.yaml` at the top of the repository shows all of them with their defaults."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

from posewire.config.section import HIDDEN, Section
from posewire.errors import ConfigurationError

ProtocolVersion = Literal["v1", "v2", "v3"]

Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
PrecisionBits = Annotated[int, Meta(ge=-8, le=20)]
PoolSize = Annotated[int, Meta(ge=1, le=16)]
NonEmpty = Annotated[str, Meta(min_length=1)]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@?#]+")

MIN_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as the hash."""


class ConnectionConfig(Section, frozen=True, kw_only=True):
    """Section ``socket``: how a client reaches its server and comes back to it."""

    NAME: ClassVar[str] = "socket"

    url: NonEmpty = "http://localhost:5000"
    """Where the server is, ``http(s)://host:port``."""
    ca_file: str | None = None
    """PEM file of the only authorities to trust with ``https``; null trusts those of this machine."""
    reconnect_attempts: Annotated[int, Meta(ge=0, le=1_000_000)] = 5
    """Attempts to come back after the connection was lost; then the session ends with ``ConnectionError``."""
    reconnect_delay: Milliseconds = 1000
    """Milliseconds to the first attempt, at most; it doubles with each. A server that is back is noticed sooner."""
    reconnect_delay_max: Milliseconds = 10_000
    """Milliseconds: the doubling stops here."""
    heartbeat_interval: Milliseconds = 25_000
    """Milliseconds between two heartbeats, which measure the round trip and notice a dead connection."""
    connect_timeout: Milliseconds = 10_000
    """Milliseconds for one attempt to connect, the WebSocket and Socket.IO handshakes included."""
    request_timeout: Milliseconds = 5000
    """Milliseconds for the answer to one control request."""
    endpoint_timeout: Milliseconds = 500
    """Milliseconds that an endpoint may take to let us in while there is another to try; twice as long each round."""
    min_pool_size: PoolSize = 1
    """Connections of a session that are kept up (lanes): with two or more poses go on another than all else."""
    max_pool_size: PoolSize = 1
    """Connections a session may have, when they are backed up. At least ``min_pool_size`` counts."""
    connection_timeout: Milliseconds = 60_000
    """Milliseconds without an answered heartbeat until a connection of the pool is replaced."""
    cleanup_interval: Milliseconds = 30_000
    """Milliseconds between two looks for connections over ``min_pool_size`` that carried nothing: they are closed."""
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Connections of one user: this many in one process, and this many the server lets in."""
    ping_timeout: Seconds = 60
    """Server: seconds without an answer to a ping until the connection counts as gone."""
    ping_interval: Seconds = 25
    """Server: seconds between pings."""
    clock_exchanges: Annotated[int, Meta(ge=1, le=100)] = 8
    """Exchanges of times in a row that clock sync begins with, before a new session sends anything."""
    clock_interval: Annotated[int, Meta(ge=50, le=3_600_000)] = 4000
    """Milliseconds between two exchanges for clock sync; less at the beginning and on a link that jitters."""

    @property
    def largest_pool(self) -> int:
        """Connections that a session may have: ``max_pool_size``, at least ``min_pool_size``."""
        return max(self.min_pool_size, self.max_pool_size)


class SecurityConfig(Section, frozen=True, kw_only=True):
    """Section ``security``: keys and what they protect."""

    NAME: ClassVar[str] = "security"
    SECRET: ClassVar[frozenset[str]] = frozenset({"secret_key"})

    secret_key: str | None = None
    """Signs tokens (HS256), at least 32 bytes. null: a random one for each server, on loopback only."""
    token_algorithm: Literal["HS256", "RS256", "EdDSA"] = "HS256"  # noqa: S105  # no password
    """How tokens are signed: the only way that is accepted. All but HS256 need a public or a private key."""
    public_key_file: NonEmpty | None = None
    """PEM file with the public key that tokens are checked with (RS256, EdDSA); alone: somebody else issues them."""
    private_key_file: NonEmpty | None = None
    """PEM file, without a passphrase, with the private key that tokens are signed with (RS256, EdDSA)."""
    token_expiry: Annotated[int, Meta(ge=1, le=31_536_000)] = 3600
    """Seconds a token is good for, unless its issuer says otherwise."""
    token_max_lifetime: Annotated[int, Meta(ge=1, le=31_536_000)] = 2_592_000
    """Seconds: tokens made for longer are refused. Revocations are kept as long. At least ``token_expiry`` counts."""
    clock_leeway: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """Milliseconds that the clock of another issuer may be off. So long after a revocation new tokens fail as well."""
    login_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    """Failed logins that one address (of IPv6: one /64) may have at once."""
    login_interval: Milliseconds = 6000
    """Milliseconds until it may have one more."""
    login_name_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 5
    """Failed logins with one name that one address may have at once."""
    login_name_interval: Milliseconds = 30_000
    """Milliseconds until it may have one more with that name."""
    login_stranger_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    """Failed logins with one name from all addresses together at once, but those it has logged in from before."""
    login_stranger_interval: Milliseconds = 10_000
    """Milliseconds until there may be one more."""
    encryption_enabled: bool = True
    """Refuse to send over a plain-text link that is not loopback. False says: I know what I do."""
    compression_level: Annotated[int, Meta(ge=0, le=9)] = 6
    """zlib level of bodies of v1 and v2, 0 (none) to 9 (smallest)."""
    key_grace: Milliseconds = 5000
    """Milliseconds that what is sealed with the old room key is taken after it was changed."""
    max_message_age: Milliseconds = 30_000
    """Milliseconds that the signed time of a v1 body may lie before or after the server's clock."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        pairs = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, HIDDEN if name in self.SECRET and value is not None else value) for name, value in pairs]

    def __repr__(self) -> str:
        return f"SecurityConfig({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def check(self) -> None:
        """A short key can be guessed from one token."""
        if self.secret_key is not None and len(self.secret_key.encode()) < MIN_SECRET_BYTES:
            raise ConfigurationError(
                "security.secret_key",
                HIDDEN,
                f"expected at least {MIN_SECRET_BYTES} bytes; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(48))"',
            )


class RoomConfig(Section, frozen=True, kw_only=True):
    """Section ``room``: what the server lets a room be."""

    NAME: ClassVar[str] = "room"

    max_clients: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Members of one room."""
    max_rooms: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    """Rooms of one server."""
    timeout: Annotated[float, Meta(gt=0, le=31_536_000)] = 3600
    """Seconds without a frame or a request of any member; then the room is closed, and its members are told why."""
    auto_cleanup: bool = True
    """Whether rooms are closed for that. It is looked at once in ``timeout``, and every minute at least."""
    kick_ban: Annotated[float, Meta(ge=0, le=1e9)] = 300
    """Seconds in which no token lets a member in again that was kicked; one it had before the kick never does."""


class SenderConfig(Section, frozen=True, kw_only=True):
    """Section ``sender``: the pipeline from a capture loop to the socket."""

    NAME: ClassVar[str] = "sender"

    queue_size: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Frames that may wait, over all streams. Full: the lowest priority goes, then the oldest."""
    protocol_version: ProtocolVersion = "v3"
    """Body format of poses: v1 (JSON), v2 (float32, exact) or v3 (quantised, a tenth of the bytes)."""
    precision_xy: PrecisionBits = 11
    """v3: x and y are sent to the nearest 2**-bits; 11 is 1/2048, a third of a pixel in an image 640 wide."""
    precision_z: PrecisionBits = 9
    """v3: the same for z."""
    precision_visibility: PrecisionBits = 5
    """v3: the same for visibility."""
    anchor_interval: Annotated[int, Meta(ge=1, le=1000)] = 4
    """v3: every so manyeth frame is one that others refer to; a receiver can do without any of the rest."""
    keyframe_interval: Milliseconds = 2000
    """v3: milliseconds from a frame that needs no other to the next; who lost one asks for it and waits less."""
    compression_enabled: bool = True
    """zlib on bodies of v1 and v2 over the threshold, where it makes them smaller."""
    compression_threshold: Annotated[int, Meta(ge=0)] = 1024
    """Bytes; smaller bodies are not worth the time."""
    bandwidth_limit: Annotated[int, Meta(ge=1)] | None = None
    """Bytes a second on the wire, over all streams; null is no limit."""
    audio_max_age: Milliseconds = 1000
    """Milliseconds: audio that waited longer is dropped, it would be heard too late."""


class MediaConfig(Section, frozen=True, kw_only=True):
    """Section ``media``: what raw PCM handed to ``send_audio`` is, and what becomes of it."""

    NAME: ClassVar[str] = "media"

    sample_rate: Annotated[int, Meta(ge=4000, le=384_000)] = 48_000
    """Samples a second and channel."""
    channels: Annotated[int, Meta(ge=1, le=8)] = 1
    """Interleaved channels of PCM given as bytes."""
    codec: Literal["pcm", "opus"] = "pcm"
    """How sound travels: as it is (pcm), or by Opus (one or two channels; needs the extra ``audio``)."""
    bit_rate: Annotated[int, Meta(ge=6000, le=510_000)] = 32_000
    """Opus: bits a second while the link takes everything."""
    bit_rate_min: Annotated[int, Meta(ge=6000, le=510_000)] = 12_000
    """Opus: bits a second when it does not, at worst."""
    application: Literal["voice", "music"] = "voice"
    """Opus: what it is tuned for."""
    redundancy: Literal["auto", "always", "never"] = "auto"
    """Opus: whether each packet carries the one before it too; auto does while receivers report loss."""

    def check(self) -> None:
        """The worst is not better than the best."""
        if self.bit_rate_min > self.bit_rate:
            raise ConfigurationError("media.bit_rate_min", self.bit_rate_min, f"expected at most {self.bit_rate}")


class ReceiverConfig(Section, frozen=True, kw_only=True):
    """Section ``receiver``: what waits between the socket and ``async for``."""

    NAME: ClassVar[str] = "receiver"

    queue_size: Annotated[int, Meta(ge=1, le=100_000)] = 128
    """Frames one ``frames()`` loop may fall behind; then the oldest goes, counted."""
    playout: Literal["latest", "smooth", "timecode"] = "latest"
    """When ``frames()`` releases what came: at once, on an even schedule, or sound and poses together."""
    playout_delay: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """``smooth`` and ``timecode``: milliseconds after the least that the network takes; 0 follows the jitter."""
    playout_delay_max: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Milliseconds: a delay that follows the jitter grows no further."""


class MonitorConfig(Section, frozen=True, kw_only=True):
    """Section ``monitor``: figures about ourselves."""

    NAME: ClassVar[str] = "monitor"

    window_size: Annotated[int, Meta(ge=2, le=100_000)] = 100
    """Frames that fps, latency and success rate are taken over."""
    enabled: bool = True
    """Whether a session watches itself from the beginning; false counts nothing until ``monitor.start()``."""
    sample_interval: Milliseconds = 1000
    """Milliseconds between two looks at CPU, memory and everything else that no frame should wait for."""
    lag_interval: Milliseconds = 500
    """Milliseconds between two looks at how late the event loop is."""
    slow_callbacks: bool = True
    """Whether callbacks are timed while the event loop comes late, to name what holds it up. Not on uvloop."""
    alert_cooldown: Annotated[int, Meta(ge=0, le=86_400_000)] = 10_000
    """Milliseconds until the same alert may be told again."""
    thresholds: dict[str, float | None] = field(default_factory=dict)
    """Of alerts, by name, where they are not the defaults: ``max_latency: 0.2``; null turns one off."""


PerSecond = Annotated[float, Meta(ge=0.01, le=1e12)]


class AdmissionConfig(Section, frozen=True, kw_only=True):
    """Section ``admission``: how much one member, and one address, may take of the server.

    Over a limit frames are thinned out, then their sender is told, then its connection is closed. An address of IPv6 is
    its first 64 bits.
    """

    NAME: ClassVar[str] = "admission"

    member_frames: PerSecond = 2000
    """Frames a second that one member may send."""
    member_bytes: PerSecond = 16_777_216
    """Bytes a second that one member may send."""
    member_requests: PerSecond = 500
    """Control requests and reports a second of one member."""
    member_connects: PerSecond = 10
    """New connections a second of one member; how many may be open is ``socket.max_connections``."""
    member_rooms: PerSecond = 60
    """New rooms a minute of one member."""
    address_frames: PerSecond = 20_000
    """Frames a second from one address."""
    address_bytes: PerSecond = 134_217_728
    """Bytes a second from one address."""
    address_requests: PerSecond = 5000
    """Control requests and reports a second from one address."""
    address_connects: PerSecond = 20
    """New connections a second from one address, whatever becomes of them."""
    address_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    """Connections from one address that may be open, whatever they are."""
    address_rooms: PerSecond = 600
    """New rooms a minute from one address."""
    loopback_factor: Annotated[float, Meta(ge=1, le=1e6)] = 16
    """An address of this machine may have so many times as much: all members of a lab may share it, or a proxy."""
    burst: Annotated[float, Meta(ge=0.1, le=3600)] = 3
    """Seconds: what was not used for so long may be used at once."""
    patience: Annotated[float, Meta(ge=0.1, le=3600)] = 10
    """Seconds' worth of a limit that are thinned out of what one member sends; then its connection is closed."""
    strangers: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Connections that are not let in yet; then the oldest one of the address that has most of them is closed."""


class ServerConfig(Section, frozen=True, kw_only=True):
    """Section ``server``: the authority."""

    NAME: ClassVar[str] = "server"

    host: NonEmpty = "127.0.0.1"
    """Address to listen on. Anything but loopback needs ``security.secret_key``."""
    port: Port = 5000
    """TCP port; 0 takes a free one."""
    users_file: str | None = None
    """SQLite file of users and revocations (see ``posewire user``, ``posewire revoke``); null keeps them in memory."""
    tls_cert: str | None = None
    """PEM file of the certificate and those between it and its root; null listens without TLS."""
    tls_key: str | None = None
    """PEM file of the certificate's private key."""
    allowed_origins: list[str] = field(default_factory=list)
    """Web pages that may connect, ``https://host[:port]``, beside those this server's own name serves."""
    long_polling: bool = False
    """Take stock clients on networks that block WebSocket too: by HTTP requests, later and at more cost."""
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    """Connections of all users together."""
    recipient_limit: Annotated[int, Meta(ge=1024, le=1 << 30)] = 1_048_576
    """Bytes of control messages and events that may wait for one slow recipient; then its connection is closed."""
    recipient_timeout: Milliseconds = 15_000
    """Milliseconds without a sign that a recipient reads what it is sent; then its connection is closed."""
    resume_grace: Annotated[int, Meta(ge=0, le=3_600_000)] = 20_000
    """Milliseconds the seat of a member that lost its connection is held for it; 0 holds none."""
    audio_max_age: Milliseconds = 1000
    """Milliseconds from capture: older sound is not sent to a slow recipient any more."""
    drain_timeout: Milliseconds = 3000
    """Milliseconds a stopping server waits for what is queued to reach its clients."""

    def check(self) -> None:
        """A certificate is of no use without its key; an origin has no path."""
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_cert"
            raise ConfigurationError(f"server.{missing}", None, "expected both, server.tls_cert and server.tls_key")
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigurationError("server.allowed_origins", origin, "expected https://host or https://host:port")
