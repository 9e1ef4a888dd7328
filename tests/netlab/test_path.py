"""How a path and a schedule are written, and what is refused."""

from __future__ import annotations

import pytest
from benchmarks.netlab import Path, SettingError, Step, parse_path, parse_schedule
from benchmarks.netlab.path import describe
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", Path()),
        ("rate=128kbit,delay=20ms", Path(rate=128e3, delay=0.02)),
        ("rate=1.5mbit buffer=6400B", Path(rate=1.5e6, buffer_bytes=6400)),
        ("rate=64000", Path(rate=64e3)),
        ("loss=2%, jitter=500us", Path(loss=0.02, jitter=0.0005)),
        ("loss=0.5,reorder=on,outage=on", Path(loss=0.5, reorder=True, outage=True)),
        ("buffer=6kB,buffer=1s", Path(buffer=1.0)),
    ],
)
def test_settings_are_read(text: str, path: Path) -> None:
    assert parse_path(text) == path


def test_settings_change_only_what_they_name() -> None:
    base = Path(rate=128e3, delay=0.02, loss=0.1)
    assert parse_path("rate=none", base) == Path(delay=0.02, loss=0.1)
    assert parse_path("clear,loss=1%", base) == Path(loss=0.01)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("rate=fast", "rate", "fast"),
        ("rate=0", "rate", "0.0"),
        ("rate=1.2.3kbit", "rate", "1.2.3kbit"),
        ("delay=20", "delay", "20"),
        ("delay=2h", "delay", "2h"),
        ("delay=7200s", "delay", "7200.0"),
        ("jitter=-1ms", "jitter", "-1ms"),
        ("loss=2", "loss", "2.0"),
        ("loss=200%", "loss", "2.0"),
        ("buffer=lots", "buffer", "lots"),
        ("outage=yes", "outage", "yes"),
        ("speed=1", "path", "speed=1"),
        ("rate", "path", "rate"),
    ],
)
def test_an_error_names_field_value_and_what_was_expected(text: str, field: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_path(text)
    assert caught.value.field == field
    assert str(caught.value.value) == value
    assert str(caught.value).startswith(f"{field}={value}: expected ")


def test_a_path_is_checked_however_it_is_made() -> None:
    with pytest.raises(SettingError, match=r"rate=-1: expected more than 0"):
        Path(rate=-1)
    with pytest.raises(SettingError, match="loss=nan"):
        Path(loss=float("nan"))


@given(
    st.builds(
        Path,
        rate=st.none() | st.integers(1, 10**6).map(lambda kbit: kbit * 1000.0),
        delay=st.integers(0, 5000).map(lambda ms: ms / 1000),
        loss=st.integers(0, 100).map(lambda percent: percent / 100),
        outage=st.booleans(),
        reorder=st.booleans(),
    )
)
def test_a_described_path_reads_back(path: Path) -> None:
    back = parse_path(describe(path))
    assert (back.rate or 0) == pytest.approx(path.rate or 0, rel=1e-5)
    assert back.delay == pytest.approx(path.delay)
    assert back.loss == pytest.approx(path.loss)
    assert (back.outage, back.reorder) == (path.outage, path.reorder)


def test_a_schedule_is_read_in_the_order_of_time() -> None:
    text = """
        at 35s up rate=none    # the end
        at 5s up rate=128kbit; at 500ms both outage=on
    """
    assert parse_schedule(text) == [
        Step(at=0.5, side="up", settings="outage=on"),
        Step(at=0.5, side="down", settings="outage=on"),
        Step(at=5.0, side="up", settings="rate=128kbit"),
        Step(at=35.0, side="up", settings="rate=none"),
    ]


@pytest.mark.parametrize(
    "text", ["up rate=1kbit", "at 5s sideways rate=1kbit", "at 5 up rate=1kbit", "at 5s up rate=x"]
)
def test_a_schedule_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected"):
        parse_schedule(text)
