"""Learning rates by hand."""

from __future__ import annotations

import pytest

from seesay.errors import UnknownName
from seesay.training.schedules import DECAYS, warm_up_and_decay


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("constant", {1: 0.02, 5: 0.1, 10: 0.2, 15: 0.2, 30: 0.2, 99: 0.2}),
        ("linear", {1: 0.02, 10: 0.2, 15: 0.155, 20: 0.11, 30: 0.02, 99: 0.02}),
        ("cosine", {1: 0.02, 10: 0.2, 20: 0.11, 30: 0.02, 99: 0.02, 15: 0.02 + 0.18 * (0.5 + 0.5 * 0.5**0.5)}),
    ],
)
def test_rates_by_hand(decay: str, expected: dict[int, float]) -> None:
    schedule = warm_up_and_decay(0.2, warmup=10, total=30, decay=decay, floor=0.1)
    for step, rate in expected.items():
        assert schedule(step) == pytest.approx(rate), step


@pytest.mark.parametrize("decay", DECAYS)
def test_no_rate_is_zero_or_above_the_peak_before_the_end(decay: str) -> None:
    for warmup, total in ((0, 1), (0, 7), (1, 7), (7, 7), (9, 7)):
        schedule = warm_up_and_decay(1.0, warmup=warmup, total=total, decay=decay)
        assert all(0 < schedule(step) <= 1 for step in range(1, max(1, total - 1)))


def test_without_warm_up_it_begins_near_the_peak() -> None:
    assert warm_up_and_decay(1.0, warmup=0, total=100, decay="linear")(1) == pytest.approx(0.99)


def test_an_unknown_decay_suggests() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cosine'"):
        warm_up_and_decay(1.0, warmup=0, total=1, decay="cosin")
