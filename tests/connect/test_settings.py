"""Settings do what they say: each of these fails when its setting is replaced by the default where it is read."""

from __future__ import annotations

import importlib
from typing import Any

import aiohttp
import numpy as np
import pytest

import posewire
from posewire import ConnectionError, DataValidationError
from posewire.config import SecurityConfig
from posewire.protocol.opus_codec import OpusEncoder
from posewire.server.login_limiter import LoginLimiter
from posewire.server.token_authority import TokenAuthority
from posewire.sockets.clock_sync import ClockSync
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame, points

SECRET = "s" * 48


async def test_encryption_may_be_given_up() -> None:
    """Nobody is there (TEST-NET-2), so it is not the link that is refused."""
    config = changed(security={"encryption_enabled": False}, socket={"connect_timeout": 50})
    with pytest.raises(ConnectionError):
        async with posewire.connect("http://198.51.100.1:9", token="x", config=config):
            pass


async def test_rooms_are_closed_only_when_the_settings_say_so() -> None:
    quick = {"timeout": 0.05}
    async with (
        posewire.serve(config=changed(room=quick)) as tidy,
        posewire.serve(config=changed(room=quick | {"auto_cleanup": False})) as lax,
        posewire.connect(tidy.url, token=tidy.issue_token("a"), config=CONFIG) as there,
        posewire.connect(lax.url, token=lax.issue_token("a"), room="studio", config=CONFIG) as here,
    ):
        for _ in range(3):
            await there.rooms.join_room("studio", create=True)
            await eventually(lambda: there.rooms.current_room() is None)
        assert here.rooms.current_room() == "studio"
        assert lax.stats().rooms == 1


async def test_how_exact_v3_is(member: Member) -> None:
    config = changed(sender={"precision_xy": 3, "precision_z": 2, "precision_visibility": 1})
    async with member("alice", config=config) as alice, member("bob") as bob:
        frames = bob.frames()
        await alice.send_pose(landmarks())
        steps = points(await next_frame(frames)) * (8, 8, 4, 2)
        assert np.array_equal(steps, np.rint(steps))
        assert steps.any()


async def test_what_is_sent_and_how_much(member: Member) -> None:
    config = changed(sender={"bandwidth_limit": 54_321}, media={"channels": 2})
    async with member("alice", config=config) as alice, member("bob") as bob:
        assert alice.sender.status().bandwidth_limit == 54_321
        sounds = bob.frames("audio")
        await alice.send_audio(bytes(4 * 480))
        heard = (await next_frame(sounds)).audio
        assert heard is not None
        assert heard.samples.shape == (480, 2)


async def test_what_the_monitor_looks_at_and_how_often(member: Member) -> None:
    config = changed(monitor={"window_size": 3, "sample_interval": 10, "alert_cooldown": 0})
    async with member("alice", config=config) as alice:
        for success in (False, False, True, True, True):
            alice.monitor.update(success, 0.001)
        assert alice.monitor.metrics().success_rate == 1.0
        # Once in a second it would take half a minute.
        await eventually(lambda: len(alice.monitor.history()) > 30, seconds=20)
        told = [
            alert.state
            for now, cpu in enumerate((500.0, 500.0, 0.0, 500.0, 500.0))
            for alert in alice.alerts.evaluate({"cpu_usage": cpu}, 1e9 + now)
        ]
        assert told == ["raised", "cleared", "raised"], "not held back"


async def test_how_often_clocks_are_compared(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[int] = []
    begin = ClockSync.begin

    async def spy(self: ClockSync, exchanges: int) -> None:
        first.append(exchanges)
        await begin(self, exchanges)

    monkeypatch.setattr(ClockSync, "begin", spy)
    config = changed(socket={"clock_exchanges": 5, "clock_interval": 50})
    async with member("alice", config=config) as alice:
        assert first == [5]
        times: set[float] = set()

        def looked_often() -> bool:
            times.add(alice.socket.clock.uncertainty)
            return len(times) > 20

        # Every four seconds, and every second at first, it would take half a minute and more.
        await eventually(looked_often, seconds=20)


async def test_what_parts_are_told(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those whose effect takes seconds, or a machine that is slow; each has tests of what it does with it."""
    told: dict[str, dict[str, Any]] = {}

    def spy(module: str, name: str) -> None:
        original = getattr(importlib.import_module(module), name)

        def made(*args: Any, **kwargs: Any) -> Any:
            told[name] = kwargs
            return original(*args, **kwargs)

        monkeypatch.setattr(f"{module}.{name}", made)

    spy("posewire.session.sampler", "LoopWatch")
    spy("posewire.rooms.room_manager", "RoomSeals")
    config = changed(
        monitor={"lag_interval": 70, "slow_callbacks": False}, security={"key_grace": 4321}, socket={"max_pool_size": 4}
    )
    async with member("alice", config=config) as alice:
        assert told["LoopWatch"] == {"interval": 0.07, "names": False}
        assert told["RoomSeals"]["grace"] == 4.321
        assert alice.socket.pool_status().utilization == 0.25


async def test_how_opus_is_told_to_code(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libopus is told; that it makes less of it is tested with the codec."""
    told: list[tuple[int, str]] = []

    def encoder(channels: int, bit_rate: int, *, application: Any) -> Any:
        told.append((bit_rate, application))
        return OpusEncoder(channels, bit_rate, application=application)

    monkeypatch.setattr("posewire.sender.audio_encoder.OpusEncoder", encoder)
    opus = {"codec": "opus", "bit_rate": 40_000, "bit_rate_min": 9000, "application": "music"}
    async with member("alice", config=changed(media=opus)) as alice:
        alice.sender.set_bandwidth_limit(100)
        for _ in range(10):
            await alice.send_audio(np.zeros(960, np.int16))
        assert alice.media.audio_bit_rate == 9000
    assert told[-1] == (9000, "music")


async def test_which_pages_are_let_in() -> None:
    origin = "https://lab.example.org"
    config = changed(server={"allowed_origins": [origin]})
    async with posewire.serve(config=config) as server, aiohttp.ClientSession() as http:
        for page, status in ((origin, 200), ("https://other.example.org", 403)):
            async with http.get(server.url + "/healthz", headers={"Origin": page}) as response:
                assert response.status == status


def test_how_long_tokens_may_be_good_for_and_how_wrong_an_issuers_clock_may_be() -> None:
    kept = SecurityConfig(secret_key=SECRET, token_expiry=20, token_max_lifetime=50, clock_leeway=30_000)
    tokens = TokenAuthority.from_config(kept)
    with pytest.raises(DataValidationError, match=r"at most 50 \(security.token_max_lifetime\)"):
        tokens.issue("alice", ttl=51)
    ahead = tokens.issue("alice", made=tokens._now() + 25)
    assert tokens.verify(ahead).sub == "alice"


def test_how_many_passwords_may_be_tried() -> None:
    settings = SecurityConfig(
        login_burst=100,
        login_name_burst=2,
        login_name_interval=7000,
        login_stranger_burst=3,
        login_stranger_interval=9000,
    )
    limiter = LoginLimiter.from_config(settings)
    waits = [limiter.attempt("192.0.2.1", "alice", now=0.0) for _ in range(3)]
    assert waits == [0.0, 0.0, pytest.approx(7.0)], "from one address"
    waits = [limiter.attempt(f"192.0.2.{other}", "alice", now=0.0) for other in (2, 3)]
    assert waits == [0.0, pytest.approx(9.0)], "from all together"
