"""The commands, as a shell calls them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

import posewire
from posewire.cli.app import cli
from posewire.cli.local_state import local_token, state_dir, users_file, with_local_secret
from posewire.cli.running import run, running_loop
from posewire.server import TokenAuthority, UserStore

COMMANDS = ["demo", "serve", "send", "watch", "token", "user", "bench", "report"]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("POSEWIRE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("POSEWIRE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, list(arguments), **options)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "posewire", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]


@pytest.fixture
def url() -> Iterator[str]:
    """A server in a process of its own."""
    server = start("serve", "--port", "0")
    assert server.stderr is not None
    line = server.stderr.readline()
    found = re.search(r"http://\S+\d", line)
    assert found, line
    assert f"Event loop: {os.environ.get('POSEWIRE_LOOP', LOOPS[-1])}." in line
    yield found[0]
    server.terminate()
    _, err = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in err


@pytest.mark.parametrize("name", [*COMMANDS, "user add"])
def test_help_has_an_example(name: str) -> None:
    result = invoke(*name.split(), "--help")
    assert result.exit_code == 0
    if name != "user":
        assert f"Example:  posewire {name}" in result.output.replace("\n  ", " ").replace("  posewire", "  posewire")


def test_version() -> None:
    assert invoke("--version").output.strip() == f"posewire, version {posewire.__version__}"


def test_demo_prints_figures_as_json() -> None:
    result = invoke("demo", "--seconds", "1.5", "--json")
    assert result.exit_code == 0
    figures = msgspec.json.decode(result.stdout)
    assert {stream["user"] for stream in figures["streams"]} == {"jump", "signing"}
    for stream in figures["streams"]:
        assert stream["frames"] > 5
        assert stream["lost"] == stream["dropped"] == 0
        assert 0 < stream["age_ms"]["p50"] <= stream["age_ms"]["p95"] <= stream["age_ms"]["p99"]
    sizes = {stream["user"]: stream["bytes_per_frame"] for stream in figures["streams"]}
    # Header and seal are 27 bytes; as float32, a body is 547 bytes, with face and hands 8,800.
    assert 40 < sizes["jump"] < 140
    assert 150 < sizes["signing"] < 1200


def test_demo_without_a_terminal_prints_lines() -> None:
    result = invoke("demo", "--seconds", "1.2", "--sample", "jump")
    assert result.exit_code == 0
    assert re.search(r"jump/pose +\d+\.\d fps +\d\d bytes/frame +0 lost +age p50", result.stdout)


def test_bench_prints_figures() -> None:
    result = invoke("bench", "--seconds", "0.5", "--subscribers", "2", "--fps", "60", "--json")
    assert result.exit_code == 0
    figures = msgspec.json.decode(result.stdout)
    assert figures["offered"] == 30
    assert 0 < figures["delivered"] <= figures["expected"] == 60
    assert figures["age_ms"]["p50"] > 0
    assert "frames/s offered" in invoke("bench", "--seconds", "0.5").stdout


def test_send_and_watch_meet_in_a_room(url: str) -> None:
    watch = start("watch", "--room", "studio", "--url", url, "--seconds", "20", "--json", "--name", "watcher")
    send = start("send", "squats", "--fps", "60", "--room", "studio", "--url", url, "--once", "--json")
    out, err = send.communicate(timeout=30)
    assert send.returncode == 0, err
    sent = msgspec.json.decode(out)
    # All of the recording; on a machine that is busy a newer frame may have come before one had left.
    assert sent["drops"].keys() <= {"replaced"}
    left_out = sent["drops"].get("replaced", 0) + sent["source"]["skipped"]
    assert (sent["sent"] + left_out, sent["room"]) == (65, "studio")
    # Ctrl-C: the figures are printed, the exit code is that of an interruption, and there is no traceback.
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=20)
    assert watch.returncode == 130
    assert "Traceback" not in err
    figures = msgspec.json.decode(out)
    assert figures["user"] == "watcher"
    assert figures["room"] == "studio"


def test_whoever_comes_first_waits_for_the_server(own_home: Path) -> None:
    port = free_port()
    watch = start("watch", "--room", "studio", "--url", f"http://127.0.0.1:{port}", "--seconds", "0.5", "--json")
    assert watch.stderr is not None
    assert watch.stderr.readline().startswith("Waiting for http://127.0.0.1")
    server = start("serve", "--port", str(port))
    try:
        out, err = watch.communicate(timeout=30)
        assert watch.returncode == 0, err
        assert msgspec.json.decode(out)["room"] == "studio"
    finally:
        server.terminate()
        server.communicate(timeout=20)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_tokens_and_passwords_get_in(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = invoke("token", "alice", "--room", "studio").output.strip()
    arguments = ("squats", "--url", url, "--seconds", "0.2", "--json", "--wait", "0")
    result = invoke("send", *arguments, "--room", "studio", "--token", token)
    assert result.exit_code == 0
    assert msgspec.json.decode(result.stdout)["user"] == "alice"
    result = invoke("send", *arguments, "--room", "stage", "--token", token)
    assert isinstance(result.exception, posewire.RoomError)
    assert invoke("user", "add", "bob", "--password-stdin", input="a long passphrase\n").exit_code == 0
    monkeypatch.setenv("POSEWIRE_PASSWORD", "a long passphrase")
    result = invoke("send", *arguments, "--room", "studio", "--username", "bob")
    assert msgspec.json.decode(result.stdout)["user"] == "bob"
    monkeypatch.setenv("POSEWIRE_PASSWORD", "wrong")
    result = invoke("send", *arguments, "--room", "studio", "--username", "bob")
    assert isinstance(result.exception, posewire.AuthError)
    monkeypatch.delenv("POSEWIRE_PASSWORD")
    result = invoke("send", *arguments, "--room", "studio", "--username", "bob", input="a long passphrase\n")
    assert result.exit_code == 0
    assert "Password of bob" in result.stderr
    # Written in plain words when there is no --json.
    result = invoke("send", *arguments[:-3], "--room", "studio", "--name", "carol", "--wait", "0")
    assert re.search(r"carol → studio: \d+ frames sent", result.stderr)


async def there(url: str, room: str, users: set[str]) -> None:
    """Wait until all of them are in the room."""
    token = local_token(posewire.load_config(), "onlooker", room)
    async with asyncio.timeout(60), posewire.connect(url, token=token, room=room) as session:
        while not users <= {member.id for member in await session.rooms.get_room_members(room)}:
            await asyncio.sleep(0.05)


def test_a_room_key_comes_from_a_file_or_the_environment(
    url: str, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_home / "key").write_text("correct horse battery\n")
    (own_home / "other").write_text("another horse, another battery")
    watching = {
        name: start("watch", "--room", "r", "--url", url, "--seconds", "60", *options)
        for name, options in {
            "same": ("--name", "same", "--json", "--room-key-file", "key"),
            "other": ("--name", "other", "--room-key-file", "other"),
            "none": ("--name", "none", "--json"),
        }.items()
    }
    asyncio.run(there(url, "r", set(watching)))
    monkeypatch.setenv("POSEWIRE_ROOM_KEY", "correct horse battery")
    sending = ("synthetic", "--url", url, "--room", "r", "--name", "sender", "--seconds", "1.5", "--json")
    result = invoke("send", *sending)
    assert msgspec.json.decode(result.stdout)["sent"] > 10
    for process in watching.values():
        process.send_signal(signal.SIGINT)
    out = {name: process.communicate(timeout=30)[0] for name, process in watching.items()}
    figures = {name: msgspec.json.decode(out[name]) for name in ("same", "none")}
    assert [stream["user"] for stream in figures["same"]["streams"]] == ["sender"]
    # It may have come in the middle of the stream, before it was told who is there; nothing was refused for its seal.
    assert figures["same"]["drops"].keys() <= {"missing_reference", "unknown_member"}
    assert figures["same"]["drops"].get("missing_reference", 0) < 10
    assert figures["none"]["streams"] == []
    assert figures["none"]["drops"]["no_key"] > 10
    assert re.search(r"refused: \d+ wrong_key", out["other"])
    # The file goes before the environment.
    result = invoke("send", *sending[:-1], "--room-key-file", "missing")
    assert isinstance(result.exception, posewire.ConfigurationError)
    assert "room_key=missing" in str(result.exception)


@pytest.mark.parametrize(("content", "words"), [(b"short", "5 characters"), (b"\xff" * 32, "expected text")])
def test_a_bad_room_key_is_said_and_not_shown(own_home: Path, content: bytes, words: str) -> None:
    (own_home / "key").write_bytes(content)
    result = invoke("send", "squats", "--room", "r", "--wait", "0", "--room-key-file", "key")
    assert isinstance(result.exception, posewire.ConfigurationError)
    assert words in str(result.exception)
    assert "short" not in str(result.exception)


def test_what_a_token_says(own_home: Path) -> None:
    options = ("--room", "studio", "--role", "host", "--ttl", "60", "--no-publish", "--no-subscribe")
    token = invoke("token", "alice", *options).output.strip()
    config = with_local_secret(posewire.Config())
    assert config.security.secret_key is not None
    claims = TokenAuthority(config.security.secret_key.encode(), lifetime=1).verify(token)
    assert (claims.sub, claims.room, claims.role, claims.publish, claims.subscribe) == (
        "alice",
        "studio",
        "host",
        False,
        False,
    )


def test_users_are_asked_for_their_password_twice() -> None:
    result = invoke("user", "add", "alice", input="a long passphrase\na long passphrase\n")
    assert result.exit_code == 0
    path = users_file(posewire.Config())
    assert str(path) in result.stdout
    asyncio.run(UserStore(path).verify("alice", "a long passphrase"))
    result = invoke("user", "add", "alice", input="a long passphrase\na long passphrase\n")
    assert isinstance(result.exception, posewire.DataValidationError)


def test_the_local_secret_is_made_once_and_kept_private(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = with_local_secret(posewire.Config()).security.secret_key
    assert first == with_local_secret(posewire.Config()).security.secret_key
    assert (state_dir() / "secret").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in state_dir().iterdir()] == ["secret"]
    own = posewire.Config(security=posewire.SecurityConfig(secret_key="x" * 40))
    assert with_local_secret(own) is own
    assert local_token(posewire.Config(), "alice", None)
    monkeypatch.delenv("POSEWIRE_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_dir() == Path("/x/posewire")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/y")
    assert state_dir() == Path("/y/.local/state/posewire")
    (own_home / "file").write_text("")
    monkeypatch.setenv("POSEWIRE_STATE_DIR", str(own_home / "file" / "state"))
    with pytest.raises(posewire.ConfigurationError, match="cannot keep a secret there"):
        with_local_secret(posewire.Config())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["send", "nothing.npz", "--room", "r"], 1, "Error: Invalid recording: nothing.npz - no such file"),
        (["send", "squats", "--room", "r", "--url", "http://127.0.0.1:1", "--wait", "0"], 1, "cannot connect"),
        (["send", "squats", "--room", "r", "--url", "https://example.org"], 1, "pass --token or --username"),
        (["watch", "--room", "r", "--url", "http://127.0.0.1:1", "--wait", "0"], 1, "cannot connect"),
        (["serve", "--host", "0.0.0.0"], 1, "security.secret_key"),
        (["watch"], 2, "Missing option '--room'"),
        (["nonsense"], 2, "No such command"),
        (["bench", "--fps", "0"], 2, "not in the range"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(arguments: list[str], code: int, message: str) -> None:
    done = start(*arguments)
    _, err = done.communicate(timeout=30)
    assert done.returncode == code
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [("watch",), ("send", "jump")])
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        *(("--seconds", value, "seconds: .* - expected more than 0") for value in ("nan", "-1", "0")),
        *(("--wait", value, "wait: .* - expected seconds, 0 or more") for value in ("nan", "-1")),
        ("--report", "none/run.json", "report=none/run.json.*there is no such folder"),
        *(("--report", value, "report=.*expected a file") for value in (".", "")),
        ("--url", "foo", "url=foo.*expected http://host:port"),
    ],
)
def test_what_cannot_be_is_refused_at_once(command: tuple[str, ...], option: str, value: str, words: str) -> None:
    """There is no server: what is noticed later fails with another error, or waits."""
    url = () if option == "--url" else ("--url", "http://127.0.0.1:9")
    result = invoke(*command, "--room", "r", "--wait", "0", *url, option, value)
    assert isinstance(result.exception, posewire.PosewireError)
    assert re.search(words, str(result.exception)), str(result.exception)


def test_a_server_listens_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    port, until = free_port(), time.monotonic() + 30
    monkeypatch.setenv("POSEWIRE_SERVER_HOST", "127.0.0.2")
    monkeypatch.setenv("POSEWIRE_SERVER_PORT", str(port))
    server = start("serve")
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.2", port), timeout=1):
                break
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        server.terminate()
        server.communicate(timeout=20)


def test_a_setting_that_is_wrong_is_said_by_every_command(own_home: Path) -> None:
    (own_home / "config.yaml").write_text("sender:\n  queue_size: 0\n")
    for arguments in (
        ["serve"],
        ["token", "alice"],
        ["watch", "--room", "r"],
        ["user", "add", "x", "--password-stdin"],
    ):
        result = invoke(*arguments, input="password\n")
        assert isinstance(result.exception, posewire.ConfigurationError)
        assert "sender.queue_size=0" in str(result.exception)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, own_home: Path) -> str:
    """Each event loop in turn, for every command that is started."""
    monkeypatch.setenv("POSEWIRE_LOOP", request.param)
    return str(request.param)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_a_server_that_says_goodbye(loop: str, number: signal.Signals, code: int) -> None:
    server = start("serve", "--port", "0")
    assert server.stderr is not None
    line = server.stderr.readline()
    assert f"Event loop: {loop}." in line
    url = line.removeprefix("Listening on ").split(". ")[0]
    watch = start("watch", "--room", "r", "--url", url, "--json")
    send = start("send", "synthetic", "--room", "r", "--url", url, "--seconds", "0.3")
    assert send.wait(timeout=20) == 0
    send.communicate()
    server.send_signal(number)
    _, err = server.communicate(timeout=20)
    assert server.returncode == code
    assert "Traceback" not in err
    assert "Stopping: members are told." in err
    watch.terminate()
    watch.communicate(timeout=20)


def test_an_event_loop_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEWIRE_LOOP", "trio")
    result = invoke("serve", "--port", "0")
    assert isinstance(result.exception, posewire.ConfigurationError)
    assert "POSEWIRE_LOOP=trio" in str(result.exception)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setenv("POSEWIRE_LOOP", "uvloop")
    with pytest.raises(posewire.ConfigurationError, match=r"posewire\[speed\]"):
        run(asyncio.sleep(0))
    names: list[str] = []

    async def name() -> None:
        names.append(running_loop())

    monkeypatch.delenv("POSEWIRE_LOOP")
    run(name())
    assert names == ["asyncio"], "without uvloop nothing need be set"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_sender_without_a_traceback(loop: str, url: str, number: signal.Signals, code: int) -> None:
    send = start("send", "synthetic", "--room", "r", "--url", url, "--json")
    watch = start("watch", "--room", "r", "--url", url)
    assert watch.stdout is not None
    assert "synthetic" not in watch.stdout.readline()  # a line about it: it runs
    send.send_signal(number)
    watch.terminate()
    out, err = send.communicate(timeout=20)
    _, watch_err = watch.communicate(timeout=20)
    assert (send.returncode, watch.returncode) == (code, 143)
    assert "Traceback" not in err + watch_err
    assert msgspec.json.decode(out)["sent"] > 0


def test_a_reader_that_goes_away_is_no_error(url: str, own_home: Path) -> None:
    watch = start("watch", "--room", "r", "--url", url)
    send = start("send", "synthetic", "--room", "r", "--url", url)
    assert watch.stdout is not None
    watch.stdout.readline()
    watch.stdout.close()
    watch.wait(timeout=20)
    send.terminate()
    send.communicate(timeout=20)
    assert watch.stderr is not None
    assert "Traceback" not in watch.stderr.read()
    watch.stderr.close()
    assert watch.returncode == 1, "what rich makes of it"


def test_recordings_of_ones_own(url: str, own_home: Path) -> None:
    np.savez(own_home / "mine.npz", landmarks=np.zeros((5, 17, 4), dtype=np.float32), fps=50)
    result = invoke("send", "mine.npz", "--room", "r", "--url", url, "--once", "--json", "--stream", "s")
    assert result.exit_code == 0
    figures = msgspec.json.decode(result.stdout)
    # A machine that is busy may leave some out, and counts them.
    assert figures["sent"] + sum(figures["drops"].values()) + figures["source"]["skipped"] == 5
    assert figures["sent"] > 0
