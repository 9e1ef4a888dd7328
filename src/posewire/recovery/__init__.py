"""What is done about a failure."""

from posewire.recovery.circuit_breaker import BreakerState, CircuitBreaker
from posewire.recovery.error_recovery_chain import ErrorRecoveryChain

__all__ = ["BreakerState", "CircuitBreaker", "ErrorRecoveryChain"]
