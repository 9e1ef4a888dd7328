"""A lab of bad networks: links with a rate, delay, jitter, loss and outages of your choice.

A link joins a near side, which is this machine, and a far side, where processes run with `Link.command` before them::

    async with open_link(up=Path(rate=128_000), schedule=parse_schedule("at 5s up rate=none")) as link:
        url = await link.url(port)                                # of a server on the near side, for the far side
        await asyncio.create_subprocess_exec(*link.command, "curl", url)

From the ground up: `errors`; `path`, `schedule`, `timetable`, `line` (pure: no I/O, no clock); `tun`, `control`,
`forwarder` (the process that is a link); `tun_link`, `proxy_link`; `link` (what callers use).
"""

from benchmarks.netlab.control import LinkStats
from benchmarks.netlab.errors import LinkError, NetlabError, SettingError
from benchmarks.netlab.line import Line, LineStats
from benchmarks.netlab.link import Kind, Link, open_link
from benchmarks.netlab.path import Path, parse_path
from benchmarks.netlab.schedule import Step, parse_schedule
from benchmarks.netlab.tun import tun_missing

__all__ = [
    "Kind",
    "Line",
    "LineStats",
    "Link",
    "LinkError",
    "LinkStats",
    "NetlabError",
    "Path",
    "SettingError",
    "Step",
    "open_link",
    "parse_path",
    "parse_schedule",
    "tun_missing",
]
