"""What arrives: frames, subscriptions, figures."""

from posewire.receiver.frame import Frame
from posewire.receiver.receiver import Receiver
from posewire.receiver.subscription import Subscription

__all__ = ["Frame", "Receiver", "Subscription"]
