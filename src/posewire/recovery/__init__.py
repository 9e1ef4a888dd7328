"""What is done about a failure."""

from posewire.recovery.error_recovery_chain import ErrorRecoveryChain

__all__ = ["ErrorRecoveryChain"]
