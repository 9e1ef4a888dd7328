"""A sender learns how much of what it sent has come."""

from __future__ import annotations

import asyncio
from typing import Any

from posewire.protocol import SocketIOPacket
from posewire.server.fast_path import Outgoing
from posewire.server.receipts import Receipts
from tests.connect.conftest import eventually


class Sender:
    """Hears the acknowledgements, while its link takes them."""

    def __init__(self) -> None:
        self.acks: list[tuple[int, int]] = []
        self.tries = 0
        self.taking = True

    def send(self, outgoing: Outgoing) -> bool:
        self.tries += 1
        if self.taking:
            packet: Any = SocketIOPacket(encoded_packet=outgoing.wire[2:])
            name, (total, held_us) = packet.data
            assert name == "ack"
            self.acks.append((total, held_us))
        return self.taking


async def test_packets_are_acknowledged_cumulatively_and_together() -> None:
    sender = Sender()
    receipts = Receipts(sender.send)
    for size in (100, 20, 3):
        receipts.count(size)
    assert sender.acks == [], "not at once: its recipients come first"
    await eventually(lambda: bool(sender.acks))
    receipts.count(1000)
    await eventually(lambda: len(sender.acks) == 2)
    assert [total for total, _ in sender.acks] == [123, 1123]
    assert receipts._timer is None, "there is nothing more to say"


async def test_it_says_for_how_long_the_last_of_them_was_held() -> None:
    sender = Sender()
    receipts = Receipts(sender.send)
    loop = asyncio.get_running_loop()
    before = loop.time()
    receipts.count(1)
    await eventually(lambda: bool(sender.acks))
    ((_, held_us),) = sender.acks
    # asyncio's timers may be early by the resolution of its clock.
    assert 9_900 <= held_us <= (loop.time() - before) * 1e6 + 1


async def test_it_tries_again_until_the_link_takes_it_and_says_how_long_that_took() -> None:
    sender = Sender()
    sender.taking = False
    receipts = Receipts(sender.send)
    receipts.count(7)
    await eventually(lambda: sender.tries == 3)
    sender.taking = True
    await eventually(lambda: bool(sender.acks))
    ((total, held_us),) = sender.acks
    assert total == 7
    assert held_us >= 4 * 9_900
    assert receipts._timer is None


async def test_nothing_is_left_once_it_is_closed() -> None:
    sender = Sender()
    receipts = Receipts(sender.send)
    receipts.close()
    receipts.count(7)
    timer = receipts._timer
    assert timer is not None
    receipts.close()
    receipts.close()
    assert timer.cancelled()
    assert receipts._timer is None
    assert sender.tries == 0
