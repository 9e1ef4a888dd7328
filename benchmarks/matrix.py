"""Runs every combination of systems, subscribers and rates."""

from __future__ import annotations

import random
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cell import Cell
from benchmarks.rig import open_rig


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What is run."""

    systems: Sequence[str]
    subscribers: Sequence[int]
    fps: Sequence[float]
    rounds: int
    seconds: float
    """That count, of each run."""
    warmup: float
    """Seconds before them."""
    processes: int = 1
    """That share the subscribers."""
    seed: int = 1
    profile: Path | None = None
    """Folder for cProfile's figures."""


async def run_matrix(matrix: Matrix) -> list[Cell]:
    """Run all of it. Systems take turns in every round, in an order of chance, so that drift hits all alike.

    Raises:
        WorkerError: A process failed or did not answer in time.
    """
    chance = random.Random(matrix.seed)
    secret = secrets.token_urlsafe(48)
    cells: list[Cell] = []
    total = matrix.rounds * len(matrix.subscribers) * len(matrix.systems)
    for round_ in range(matrix.rounds):
        for count in matrix.subscribers:
            for system in chance.sample(matrix.systems, len(matrix.systems)):
                done = len(cells) // len(matrix.fps)
                print(f"[{done + 1}/{total}] round {round_ + 1}: {system}, {count} subscribers", file=sys.stderr)
                async with open_rig(
                    system,
                    subscribers=count,
                    processes=min(matrix.processes, count),
                    secret=secret,
                    seed=matrix.seed,
                    profile=matrix.profile,
                ) as rig:
                    for fps in matrix.fps:
                        outcome = await rig.run(fps=fps, seconds=matrix.seconds, warmup=matrix.warmup)
                        cells.append(Cell.of(outcome, system=system, subscribers=count, round_=round_))
    return cells
