"""What arrives: frames, subscriptions, figures."""

from posewire.receiver.frame import Frame
from posewire.receiver.one_euro_filter import OneEuro
from posewire.receiver.playout_subscription import PlayoutSubscription
from posewire.receiver.receiver import Receiver
from posewire.receiver.subscription import Subscription

__all__ = ["Frame", "OneEuro", "PlayoutSubscription", "Receiver", "Subscription"]
