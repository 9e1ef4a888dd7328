"""Seeded schedules of faults on real sockets, and what must be true after each.

`plan` makes a schedule of a seed; `world` plays it: a real server in a process of its own (`server_process`), members
(`member`) that each reach it through a link that can go wrong (`fault_link`). All that happens is written down in one
`history`, which `invariants` judges. `python -m benchmarks chaos` and `tests/faults` run the same code.

**Acceleration.** A schedule is made in its own seconds, 30 of them, and played `world.SPEED` times faster: its times,
and the settings that are times (delays, limits, heartbeat, pings, resume grace, lifetime of tokens), are divided by
it. Nothing is simulated: sockets, processes and waits are real, only shorter, so the delays of this machine are that
much longer than they would be. What is judged does not depend on how long anything took.
"""

from benchmarks.chaos.command import main

__all__ = ["main"]
