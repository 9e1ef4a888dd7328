"""Suites of body version 3 run with the compiled codec and with the one in Python: ``usefixtures("codec")``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from posewire.protocol import pose_codec


@pytest.fixture(scope="module", params=["compiled", "pure"])
def codec(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use one of the two, whatever the environment says."""
    if request.param == "compiled" and not pose_codec.available():
        pytest.skip("the codec was not compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pose_codec,
            "chain_of",
            pose_codec.compiled_chain if request.param == "compiled" else pose_codec.pure_chain,
        )
        yield
