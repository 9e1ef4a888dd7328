"""The servers a session may go to, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from posewire.errors import ConfigurationError
from posewire.recovery import CircuitBreaker
from posewire.sockets.lane import check_url

_MOST: Final = 64


class EndpointUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one endpoint."""

    uses: int
    """Times the session came to it: connected and greeted."""
    failures: int
    """Attempts to connect that failed: refused, not answered in time, no room for us."""
    breaker: str
    """``closed``, ``open`` (not asked for now) or ``half_open`` (the next attempt decides)."""
    retry_in: float
    """Seconds until it is asked again; 0 unless ``open``."""
    current: bool
    """Whether the session is there, or was last."""


class Endpoint:
    """One server: where it is, and whether it is worth an attempt."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.breaker = CircuitBreaker()
        self.uses = 0
        self.failures = 0

    def succeeded(self) -> None:
        """The session has come to it."""
        self.uses += 1
        self.breaker.succeeded()

    def failed(self, now: float) -> None:
        """It did not let the session in."""
        self.failures += 1
        self.breaker.failed(now)


class Endpoints:
    """An ordered list of servers, of which one is the current one. Time is an argument: monotonic seconds.

    Args:
        url: The only one, until `set` names others.
    """

    def __init__(self, url: str) -> None:
        self.allowed: Callable[[str], None] = lambda url: None
        """Raises for a URL that must not be used; asked before a list is taken."""
        self._known = [Endpoint(url)]
        self._current = self._known[0]

    def __len__(self) -> int:
        return len(self._known)

    @property
    def current(self) -> Endpoint:
        """The one the session is at, or was last."""
        return self._current

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(endpoint.url for endpoint in self._known)

    def set(self, urls: Sequence[str]) -> None:
        """Use these from the next attempt on, in this order; what is known of those that stay is kept.

        Raises:
            ConfigurationError: Not a list of different URLs, or none; the old list stays.
            PosewireError: `allowed` refuses one; the old list stays.
        """
        found = [endpoint_url(url) for url in _listed(urls)]
        if len(set(found)) < len(found):
            raise ConfigurationError("endpoints", ", ".join(found), "expected each server once")
        for url in found:
            self.allowed(url)
        known = {endpoint.url: endpoint for endpoint in (*self._known, self._current)}
        self._known = [known.get(url) or Endpoint(url) for url in found]
        if not self._current.uses:
            self._current = self._known[0]  # nowhere yet, so that the first one comes first

    def candidates(self, now: float) -> Iterator[Endpoint]:
        """Yield those that are worth an attempt now: the current one, then those after it, round the list.

        When none is, the one that will be soonest: to wait for it would help nobody. The caller says what came of each
        attempt (`Endpoint.succeeded`, `Endpoint.failed`, or of its breaker `abandoned`) before it takes the next.
        """
        order = self._order()
        none = True
        for endpoint in order:
            if endpoint.breaker.admits(now):
                none = False
                yield endpoint
        if none:
            yield min(order, key=lambda endpoint: endpoint.breaker.wait(now))

    def next(self, now: float) -> str:
        """Return where the session goes when the current one is lost and does not answer."""
        others = [endpoint for endpoint in self._order() if endpoint is not self._current]
        return min(others or self._known, key=lambda endpoint: endpoint.breaker.wait(now)).url

    def arrived(self, endpoint: Endpoint) -> None:
        """The session has come to an endpoint."""
        self._current = endpoint
        endpoint.succeeded()

    def usage(self, now: float) -> dict[str, EndpointUsage]:
        """Return what became of each, by URL, in order."""
        return {
            endpoint.url: EndpointUsage(
                uses=endpoint.uses,
                failures=endpoint.failures,
                breaker=endpoint.breaker.state(now).value,
                retry_in=endpoint.breaker.wait(now),
                current=endpoint is self._current,
            )
            for endpoint in self._known
        }

    def _order(self) -> list[Endpoint]:
        """All, from the current one on; from the first one when the current one is not in the list any more."""
        at = self._known.index(self._current) if self._current in self._known else 0
        return self._known[at:] + self._known[:at]


def endpoint_url(url: Any) -> str:
    """Return the URL of a server without what does not matter.

    Raises:
        ConfigurationError: It is none.
    """
    if not isinstance(url, str):
        raise ConfigurationError("endpoints", repr(url)[:80], "expected http://host:port or https://host:port")
    return check_url(url)


def _listed(urls: Any) -> list[Any]:
    if isinstance(urls, str | bytes) or not isinstance(urls, Sequence) or not 1 <= len(urls) <= _MOST:
        raise ConfigurationError("endpoints", repr(urls)[:80], f"expected a list of 1 to {_MOST} URLs")
    return list(urls)
