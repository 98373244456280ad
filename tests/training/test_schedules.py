"""Learning rates by hand."""

from __future__ import annotations

import pytest

from seesay.errors import UnknownName
from seesay.training.schedules import DECAYS, noam, stepwise, warm_up_and_decay


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


def test_the_published_schedule_of_m2() -> None:
    """512 ** -0.5 * min(step ** -0.5, step * 10000 ** -1.5)."""
    schedule = noam(4.4194e-4, warmup=10_000)
    for step in (1, 5_000, 10_000, 40_000, 150_000):
        assert schedule(step) == pytest.approx(512**-0.5 * min(step**-0.5, step * 10_000**-1.5), rel=1e-5)


def test_the_published_schedule_of_s2() -> None:
    factors = [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0), (11, 0.2), (13, 0.04)]
    schedule = stepwise(1e-4, factors, epoch_steps=7)
    found = [schedule(7 * epoch + 3) for epoch in range(15)]
    assert found == pytest.approx([1e-4 * f for f in (0.25, 0.5, 0.75, *[1.0] * 7, 0.2, 0.2, 0.04, 0.04, 0.04)])


def test_steps_with_a_warm_up() -> None:
    schedule = stepwise(1.0, [(2, 0.5)], epoch_steps=4, warmup=6)
    assert [schedule(step) for step in (3, 4, 5, 6, 7)] == pytest.approx([0.5, 4 / 6, 0.5 * 5 / 6, 0.5, 0.5])
