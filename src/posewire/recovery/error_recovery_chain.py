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
"""Called with the error; False, or whatever it raises, says that it did not help."""


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

        Waits for as long as the strategies do. Cancelling is as safe as they are. A strategy that raises did not help:
        that is logged, with a traceback when it is neither a ``PosewireError`` nor an ``OSError``, and the next is
        tried. What ``error`` says is not lost for it.
        """
        for strategy in self.strategies_for(error):
            for attempt in range(1, self.max_retries + 1):
                with _Attempt(error, attempt):
                    result = strategy(error)
                    helped = await result if inspect.isawaitable(result) else result
                    if helped is not False:
                        return True
                    logger.warning("recovery from %r did not help (attempt %d)", error, attempt)
        return False


class _Attempt:
    """Logs what a strategy raises, and goes on: it is the application's code, and no reason to lose ours."""

    def __init__(self, error: BaseException, number: int) -> None:
        self._error = error
        self._number = number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> bool:
        if not isinstance(raised, Exception):  # nothing, or what ends a task
            return False
        known = isinstance(raised, PosewireError | OSError)
        level = logging.WARNING if known else logging.ERROR
        message = "recovery from %r failed (attempt %d): %r"
        logger.log(level, message, self._error, self._number, raised, exc_info=None if known else raised)
        return True
