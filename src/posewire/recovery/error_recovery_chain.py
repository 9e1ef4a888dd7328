"""Which recovery is tried for which error, and in what order."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from posewire.errors import DataValidationError, PosewireError
from posewire.values import is_whole, plain, shown

logger = logging.getLogger(__name__)

Strategy = Callable[[Any], bool | Awaitable[bool | None] | None]
"""Called with the error; False, or an error of its own, says that it did not help."""


class ErrorRecoveryChain:
    """Tries the strategies that fit an error, the most specific type first, until one helps.

    Args:
        max_retries: How often one strategy is tried before the next.
    """

    def __init__(self, max_retries: int = 3) -> None:
        max_retries = plain(max_retries)
        if not is_whole(max_retries) or max_retries < 1:
            raise ValueError(f"max_retries {shown(max_retries)}: expected a whole number from 1")
        self.max_retries = max_retries
        self.recovery_strategies: list[tuple[type[BaseException], Strategy]] = []

    def add_strategy(self, error_type: type[BaseException], recovery_func: Strategy) -> None:
        """Use ``recovery_func``, sync or async, for errors of ``error_type``.

        Raises:
            DataValidationError: That is no class of exceptions, or the other no function; nothing changes.
        """
        if not isinstance(error_type, type) or not issubclass(error_type, BaseException):
            raise DataValidationError("error_type", shown(error_type), "expected a class of exceptions")
        if not callable(recovery_func):
            raise DataValidationError("recovery_func", shown(recovery_func), "expected a function of one argument")
        self.recovery_strategies.append((error_type, recovery_func))

    def strategies_for(self, error: BaseException) -> list[Strategy]:
        """Return what would be tried for ``error``: most specific type first, then in order of adding."""
        fitting = [(kind, func) for kind, func in self.recovery_strategies if isinstance(error, kind)]
        fitting.sort(key=lambda entry: -len(entry[0].__mro__))
        return [func for _, func in fitting]

    async def handle_error(self, error: BaseException) -> bool:
        """Try to recover from ``error``; True when a strategy helped, False when none did.

        Waits for as long as the strategies do. Cancelling is as safe as they are. A strategy that fails with a
        ``PosewireError`` or ``OSError`` is logged and tried again; any other exception is a bug and comes out.
        """
        for strategy in self.strategies_for(error):
            for attempt in range(1, self.max_retries + 1):
                try:
                    result = strategy(error)
                    helped = await result if inspect.isawaitable(result) else result
                except (PosewireError, OSError) as exc:
                    logger.warning("recovery from %r failed (attempt %d): %s", error, attempt, exc)
                    continue
                if helped is not False:
                    return True
                logger.warning("recovery from %r did not help (attempt %d)", error, attempt)
        return False
