"""What the kernel says of a connection, and that asking can never harm."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from posewire.sockets import kernel_queue
from posewire.sockets.kernel_queue import UNSENT_BYTES, confirm_now, tune, unacknowledged, unsent

pytestmark = pytest.mark.skipif(not kernel_queue._LINUX, reason="Linux only")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


def test_it_tells_what_the_other_end_has_no_room_for(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert (unsent(near.fileno()), unacknowledged(near.fileno())) == (0, 0)
    near.setblocking(False)
    total = 0
    try:
        while True:
            total += near.send(bytes(65_536))
    except BlockingIOError:
        pass
    waiting = unsent(near.fileno())
    assert 0 < waiting < total
    assert waiting <= unacknowledged(near.fileno()) <= total
    far.settimeout(10)
    left = total
    while left:
        left -= len(far.recv(65_536))
    assert unsent(near.fileno()) == 0


def test_options_are_set(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    tune(near)
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES
    assert near.getsockopt(socket.IPPROTO_TCP, kernel_queue._TCP_THIN_LINEAR_TIMEOUTS) == 1
    confirm_now(near)


def test_an_older_kernel_goes_without(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _ = pair
    monkeypatch.setattr(kernel_queue, "_TCP_RTO_MAX_MS", 9999)  # it knows no such option
    tune(near)
    assert near.getsockopt(socket.IPPROTO_TCP, kernel_queue._TCP_THIN_LINEAR_TIMEOUTS) == 1, "those after it are set"


def test_what_is_no_connection_is_left_alone(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _ = pair
    tune(None)
    confirm_now(None)
    # Once: a transport without a socket, whose descriptor is then -1, ended the reading task with a ValueError.
    assert unsent(-1) == unacknowledged(-1) == 0
    left, right = socket.socketpair()
    with left, right, open(__file__, encoding="utf-8") as file:
        tune(left)
        assert unsent(file.fileno()) == 0
    near.close()
    tune(near)
    confirm_now(near)
    monkeypatch.setattr(kernel_queue, "_LINUX", False)
    tune(object())
    confirm_now(object())
