"""What a watcher saw, as data and as a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from posewire.monitor import StreamFigures, percentiles
from posewire.session import Session
from posewire.sources import Source


def stream_figures(figures: StreamFigures, dropped: int = 0) -> dict[str, Any]:
    """Return one received stream as plain data; ages in milliseconds."""
    return {
        "user": figures.user_id,
        "stream": figures.stream,
        "frames": figures.frames,
        "fps": round(figures.mean_fps, 1),
        "age_ms": {
            "p50": round(figures.age_p50 * 1e3, 2),
            "p95": round(figures.age_p95 * 1e3, 2),
            "p99": round(figures.age_p99 * 1e3, 2),
        },
        "bytes_per_frame": round(figures.bytes_per_frame, 1),
        "lost": figures.lost,
        "dropped": dropped,
    }


def session_figures(session: Session, dropped: int = 0) -> dict[str, Any]:
    """Return all a session received as plain data."""
    return {
        "user": session.user_id,
        "room": session.rooms.current_room(),
        "streams": [stream_figures(figures, dropped) for figures in session.receiver.stats()],
        "drops": dict(session.receiver.drops),
    }


def refused_line(session: Session) -> str:
    """Return what was not taken, by reason, as a line of text; empty when all was."""
    # A frame that waits for its keyframe is not refused; everyone who joins sees one or two.
    drops = [drop for drop in session.receiver.drops.most_common() if drop[0] != "missing_reference"]
    return ", ".join(f"{count} {reason}" for reason, count in drops)


def sender_figures(session: Session) -> dict[str, Any]:
    """Return all a session sent as plain data."""
    status = session.sender.status()
    return {
        "user": session.user_id,
        "room": session.rooms.current_room(),
        "sent": status.sent,
        "bytes": status.bytes_sent,
        "bytes_per_frame": round(status.bytes_sent / status.sent, 1) if status.sent else 0.0,
        "fps": round(session.monitor.metrics().fps, 1),
        "drops": status.drops,
    }


def source_figures(source: Source, tracking: Iterable[float]) -> dict[str, Any]:
    """Return what a source did as plain data; ``tracking``: seconds that frames took, of a source that looks."""
    figures: dict[str, Any] = {"skipped": source.skipped}
    if any(times := list(tracking)):
        p50, p95, _ = percentiles(times)
        figures["tracking_ms"] = {"p50": round(p50 * 1e3, 1), "p95": round(p95 * 1e3, 1)}
    return figures


def stream_lines(figures: StreamFigures) -> tuple[str, str]:
    """Return one received stream as two short lines of text."""
    age = (figures.age_p50 * 1e3, figures.age_p95 * 1e3, figures.age_p99 * 1e3)
    return (
        f"{figures.fps:.1f} fps  {figures.bytes_per_frame:.0f} bytes/frame  {figures.lost} lost",
        f"age p50 {age[0]:.1f}  p95 {age[1]:.1f}  p99 {age[2]:.1f} ms",
    )


def stream_line(figures: StreamFigures) -> str:
    """Return one received stream as a line of text."""
    return f"{figures.user_id}/{figures.stream}  {'  '.join(stream_lines(figures))}"
