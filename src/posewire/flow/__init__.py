"""What goes when: queue, rate limit, backoff. Pure; time and chance are arguments."""

from posewire.flow.backoff import backoff
from posewire.flow.queue_item import QueueItem
from posewire.flow.send_outcome import SendOutcome
from posewire.flow.send_queue import SendQueue
from posewire.flow.token_bucket import TokenBucket

__all__ = ["QueueItem", "SendOutcome", "SendQueue", "TokenBucket", "backoff"]
