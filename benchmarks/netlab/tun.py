"""Network namespaces and TUN devices of one link."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path as FilePath
from typing import Final

from benchmarks.netlab.errors import LinkError

PREFIX: Final = "netlab-"
"""Of namespaces; the forwarder's process id follows."""

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_SLOTS: Final = 16384
"""Networks of four addresses in 10.213.0.0/16."""
_DEVICE: Final = FilePath("/dev/net/tun")
_NAMESPACES: Final = FilePath("/run/netns")


def tun_missing() -> str | None:
    """Return why links in namespaces cannot be built here; None when they can, as far as can be told without trying."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no network namespaces"
    if os.geteuid() != 0:
        return "needs root"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"needs {_DEVICE}"
    if shutil.which("ip") is None:
        return "needs the command ip (iproute2)"
    return None


class TunPair:
    """Two TUN devices, one here, one in a namespace of its own, and this process between them.

    The devices end with the process, since nothing else holds them. Raises `LinkError` when it cannot be built.

    Attributes:
        namespace: Name of the far side's namespace.
        host: Address of the near side.
        near: Descriptor: reads what is sent to the far side, writes what comes from it; never blocks.
        far: The same at the far side.
    """

    def __init__(self) -> None:
        sweep()
        self.namespace = f"{PREFIX}{os.getpid()}"
        self.near, slot = _claim()
        try:
            self.far = _open_tun(f"netlab{slot}f")
            network = 4 * slot
            self.host, guest = (f"10.213.{network >> 8}.{(network & 255) + place}" for place in (1, 2))
            _ip([f"netns add {self.namespace}"])
            _ip(_up(f"netlab{slot}", f"{self.host}/30"))
            _ip([f"link set netlab{slot}f netns {self.namespace}"])
            far = ["link set lo up", *_up(f"netlab{slot}f", f"{guest}/30"), f"route add default via {self.host}"]
            _ip(far, self.namespace)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take it all down."""
        for name in ("near", "far"):
            descriptor = self.__dict__.pop(name, None)
            if descriptor is not None:
                os.close(descriptor)
        _delete(self.namespace)


def sweep() -> None:
    """Delete namespaces whose forwarder is dead: killed before it could do it."""
    if not _NAMESPACES.is_dir():
        return
    for entry in list(_NAMESPACES.iterdir()):
        owner = entry.name.removeprefix(PREFIX)
        if entry.name.startswith(PREFIX) and owner.isdecimal() and not FilePath(f"/proc/{owner}").exists():
            _delete(entry.name)


def _claim() -> tuple[int, int]:
    """Open the near device of a free network: the kernel gives a name to one process only."""
    for attempt in range(_SLOTS):
        slot = (os.getpid() + attempt) % _SLOTS
        try:
            return _open_tun(f"netlab{slot}"), slot
        except OSError as exc:
            if exc.errno != errno.EBUSY:
                raise LinkError(f"cannot make a TUN device: {exc}") from exc
    raise LinkError(f"all {_SLOTS} networks of 10.213.0.0/16 are taken")


def _open_tun(name: str) -> int:
    descriptor = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _up(device: str, address: str) -> list[str]:
    return [f"addr add {address} dev {device}", f"link set {device} addrgenmode none", f"link set {device} up"]


def _delete(namespace: str) -> None:
    # It may never have been made, or another link's sweep was quicker.
    with contextlib.suppress(LinkError):
        _ip([f"netns del {namespace}"])


def _ip(commands: list[str], namespace: str | None = None) -> None:
    inside = [] if namespace is None else ["-n", namespace]
    done = subprocess.run(
        ["ip", *inside, "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LinkError(f"ip: {done.stderr.strip()} (of: {'; '.join(commands)})")
