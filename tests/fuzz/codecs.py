"""Which codec of body version 3 a fuzzer runs with."""

from __future__ import annotations

from typing import Final

from posewire.protocol import pose_codec

CODECS: Final = ("pure", "compiled") if pose_codec.available() else ("pure",)
"""Those there are; the fastest last."""


def use_codec(name: str) -> None:
    """Use one of them from here on, in this process."""
    pose_codec.chain_of = pose_codec.compiled_chain if name == "compiled" else pose_codec.pure_chain
