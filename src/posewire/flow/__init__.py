"""What goes when: queue, rate limit, backoff; and what time it is there. Pure; time and chance are arguments."""

from posewire.flow.audio_rate import AudioRate
from posewire.flow.backlog import Backlog
from posewire.flow.backoff import backoff
from posewire.flow.clock_filter import ClockFilter, ClockFit, Exchange
from posewire.flow.credit_window import CreditWindow
from posewire.flow.quality_ladder import LADDER, Quality, QualityLadder
from posewire.flow.queue_item import QueueItem
from posewire.flow.rate_controller import RateController
from posewire.flow.send_outcome import SendOutcome
from posewire.flow.send_queue import SendQueue
from posewire.flow.token_bucket import TokenBucket

__all__ = [
    "LADDER",
    "AudioRate",
    "Backlog",
    "ClockFilter",
    "ClockFit",
    "CreditWindow",
    "Exchange",
    "Quality",
    "QualityLadder",
    "QueueItem",
    "RateController",
    "SendOutcome",
    "SendQueue",
    "TokenBucket",
    "backoff",
]
