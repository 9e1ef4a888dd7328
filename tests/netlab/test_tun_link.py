"""The link over TUN: real packets between two namespaces. Needs root."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path as FilePath

import pytest
from benchmarks.netlab import Link, LinkError, Path, SettingError, open_link, parse_schedule, tun_missing
from benchmarks.netlab.accuracy import measure_flow
from benchmarks.netlab.tun import PREFIX

ROOT = FilePath(__file__).parents[2]


def _missing() -> str | None:
    """Root in a container may still lack the right: only trying tells."""
    if (reason := tun_missing()) is not None:
        return reason
    name = f"netlab-try{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "may not add network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


pytestmark = pytest.mark.skipif(_missing() is not None, reason=f"no link over TUN: {_missing()}")


def namespaces() -> set[str]:
    folder = FilePath("/run/netns")
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


async def far(link: Link, code: str, *arguments: str) -> str:
    """Run Python on the far side; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        *link.command, sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


DIAL = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))
sock.sendall(b"hello")
print(sock.recv(100).decode())
"""


async def test_tcp_both_ways_and_nothing_left() -> None:
    async with open_link(up=Path(delay=0.01), down=Path(delay=0.01)) as link:
        assert link.kind == "tun"
        namespace = link.command[-1]
        assert namespace in namespaces()

        def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"from {writer.get_extra_info('peername')[0]}".encode())
            writer.close()

        server = await asyncio.start_server(reply, link.host, 0)
        port = await link.port(server.sockets[0].getsockname()[1])
        started = time.monotonic()
        said = await far(link, DIAL, link.host, str(port), "5")
        assert said.startswith("from 10.213.")
        assert time.monotonic() - started > 0.04  # the handshake and the answer: two round trips
        stats = await link.stats()
        assert stats.up.packets >= 3 <= stats.down.packets
        server.close()
        await server.wait_closed()
    assert namespace not in namespaces()
    with pytest.raises(LinkError, match="not open"):
        await link.stats()


async def test_rate_buffer_and_delay_hold() -> None:
    rate, size = 400_000, 500
    flow = await measure_flow(Path(rate=rate, delay=0.03, buffer=0.1), count=120, size=size, gap=0.005)
    seconds = flow.arrivals[-1] - flow.arrivals[0]
    # Offered at twice the rate: the line is never idle, and what does not fit is dropped.
    assert len(flow.numbers) < 120
    assert (len(flow.numbers) - 1) * size * 8 / seconds == pytest.approx(rate, rel=0.05)
    assert min(flow.ages) >= 0.03 + size * 8 / rate
    assert 0.03 + 0.1 - 2 * size * 8 / rate < max(flow.ages)


async def test_loss_is_the_seeds() -> None:
    async def lost(seed: int) -> list[int]:
        flow = await measure_flow(Path(loss=0.2), count=200, size=100, gap=0.0005, seed=seed)
        return sorted(set(range(200)) - set(flow.numbers))

    first, again, other = await lost(1), await lost(1), await lost(2)
    assert first == again != other
    assert 15 < len(first) < 75


async def test_changes_and_schedules_while_it_runs() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        async with open_link() as link:
            sock.bind((link.host, 0))
            send = "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(sys.argv[3].encode(), (sys.argv[1], int(sys.argv[2])))"  # noqa: E501
            where = (link.host, str(sock.getsockname()[1]))
            await link.change(up="outage=on")
            await far(link, send, *where, "lost")
            assert (await link.stats()).up.dropped_outage == 1
            await link.change(up=Path())
            await far(link, send, *where, "first")
            assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"first"
            await link.play(parse_schedule("at 0s up outage=on; at 300s up outage=off"), time.monotonic())
            await far(link, send, *where, "lost")
            assert (await link.stats()).up.dropped_outage == 2
            await link.play(parse_schedule("at 0s up clear"))
            await far(link, send, *where, "second")
            assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"second"
            with pytest.raises(SettingError, match="delay=1: expected a time"):
                await link.change(down="delay=1")


async def test_several_at_once_and_after_failure() -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with open_link() as one, open_link() as two:
            assert one.host != two.host
            names = {one.command[-1], two.command[-1]}
            raise RuntimeError("on purpose")
    assert not names & namespaces()


async def test_a_cancelled_opening_leaves_nothing() -> None:
    async def hold() -> None:
        async with open_link():
            await asyncio.Event().wait()

    task = asyncio.create_task(hold(), name="hold")
    await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not [name for name in namespaces() if name.startswith(PREFIX) and not _alive(name)]


async def test_a_dead_parent_takes_its_link_along_and_leftovers_are_swept() -> None:
    code = (
        "import asyncio, os, signal\n"
        "from benchmarks.netlab import open_link\n"
        "async def main():\n"
        "    async with open_link() as link:\n"
        "        print(link.command[-1], flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    out, _ = await process.communicate()
    name = out.decode().strip()
    assert name.startswith(PREFIX)
    async with asyncio.timeout(10):
        while name in namespaces():
            await asyncio.sleep(0.01)


async def test_what_a_killed_forwarder_left_is_swept_and_the_owner_is_told() -> None:
    async with open_link() as link:
        name = link.command[-1]
        os.kill(int(name.removeprefix(PREFIX)), signal.SIGKILL)
        with pytest.raises(LinkError, match="gone"):
            await link.stats()
    assert name in namespaces()
    async with open_link():
        assert name not in namespaces()


def _alive(name: str) -> bool:
    return FilePath(f"/proc/{name.removeprefix(PREFIX)}").exists()


async def test_the_command_line() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.netlab", "--up", "delay=5ms", "--schedule", "at 0s up loss=1%", "--json", "--"),
        *(sys.executable, "-c", "import os; print(os.environ['NETLAB_HOST'] == '{host}'); raise SystemExit(3)"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (3, b"True\n")
    assert b'"offered_packets":0' in err


async def test_the_command_line_says_what_is_wrong() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.netlab", "--up", "rate=fast", "--", "true"),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"--up: rate=fast: expected a rate such as 128kbit" in err
