"""The training loop against updates by hand, and what it refuses to do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch
from seesay.errors import TrainingDiverged
from seesay.training.loop import PRECISIONS, compute, fit, mean_loss, seed_of, to_tensor
from seesay.training.objectives import Loss


def batch(*values: float) -> CaptionBatch:
    """A batch whose only content is its features."""
    features = np.array(values, np.float16).reshape(-1, 1, 1)
    ids = tuple(f"{i}.jpg" for i in range(len(values)))
    return CaptionBatch(
        ids, features, np.ones((len(values), 1), bool), np.zeros((1, 2), np.int64), np.zeros(1, np.int64)
    )


class Line(nn.Module):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.draws: list[float] = []


def product(model: nn.Module, some: CaptionBatch) -> Loss:
    """weight x features, summed: the gradient of the mean is the mean of the features."""
    assert isinstance(model, Line)
    model.draws.append(float(torch.rand(())))
    return Loss((model.weight * some.features).sum(), some.features.numel())


def run(model: Line, batches: list[CaptionBatch], rate: float = 0.1, **options: float) -> list[tuple[float, ...]]:
    optimizer = torch.optim.SGD(model.parameters(), lr=9.9)
    return [tuple(step) for step in fit(model, batches, product, optimizer, lambda n: rate * n, **options)]  # type: ignore[arg-type]


def test_updates_by_hand() -> None:
    model = Line()
    steps = run(model, [batch(1.0, 3.0), batch(0.5)], clip=0.0)
    assert steps[0][:5] == pytest.approx((1, 4.0, 2, 0.1, 2.0))  # 2 - 0.1 x 2 = 1.8
    assert steps[1][:5] == pytest.approx((2, 0.9, 1, 0.2, 0.5))
    assert model.weight.item() == pytest.approx(1.8 - 0.2 * 0.5)


def test_clipping_bounds_the_update_and_reports_the_norm_before() -> None:
    model = Line()
    steps = run(model, [batch(50.0)], clip=0.5)
    assert steps[0][4] == pytest.approx(50.0)
    assert model.weight.item() == pytest.approx(2 - 0.1 * 0.5, abs=1e-5)


def test_it_does_one_step_for_each_that_is_asked_for() -> None:
    model, taken = Line(), []

    def batches() -> Iterator[CaptionBatch]:
        for number in range(5):
            taken.append(number)
            yield batch(1.0)

    steps = fit(model, batches(), product, torch.optim.SGD(model.parameters(), lr=1), lambda n: 1.0)
    next(steps), next(steps)
    assert taken == [0, 1] and model.weight.item() == pytest.approx(0.0, abs=1e-5)


def test_random_numbers_depend_on_seed_and_step_alone() -> None:
    whole, later, other = Line(), Line(), Line()
    run(whole, [batch(1.0)] * 4, seed=5)
    torch.rand(17)
    run(later, [batch(1.0)] * 2, seed=5, first=3)
    run(other, [batch(1.0)] * 4, seed=6)
    assert whole.draws[2:] == later.draws
    assert len({*whole.draws, *other.draws}) == 8


def test_seeds_of_neighbours_differ() -> None:
    assert len({seed_of(seed, number) for seed in range(20) for number in range(50)}) == 1000
    assert all(0 <= seed_of(1, number) < 2**63 for number in range(100))
    assert seed_of(1, 2) != seed_of(2, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_it_stops_before_an_update_that_is_not_finite(value: float) -> None:
    model = Line()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    steps = fit(model, [batch(1.0), batch(2.0, value)], product, optimizer, lambda n: 0.1)
    next(steps)
    before, moments = model.weight.item(), {k: v.clone() for k, v in optimizer.state[model.weight].items()}
    with pytest.raises(
        TrainingDiverged, match=r"step 2: loss is (nan|inf), gradient norm .*; batch ids 0\.jpg, 1\.jpg"
    ) as fault:
        next(steps)
    assert "clip" not in str(fault.value)  # no bound on it makes a norm finite
    assert "with a lower learning rate" in str(fault.value)
    assert model.weight.item() == before
    assert all(torch.equal(v, moments[k]) for k, v in optimizer.state[model.weight].items())


def test_a_finite_loss_with_a_gradient_that_is_not_finite_stops_too() -> None:
    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, value: Tensor) -> Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            return grads[0] * float("nan")

    model = Line()
    steps = fit(
        model,
        [batch(1.0)],
        lambda m, b: Loss(Root.apply(m.weight), 1),
        torch.optim.SGD(model.parameters(), lr=1),
        lambda n: 1.0,
    )
    with pytest.raises(TrainingDiverged, match="loss is 2, gradient norm nan"):
        next(steps)
    assert model.weight.item() == 2.0


def test_the_model_trains_in_training_and_is_judged_in_evaluation_mode() -> None:
    model = Line().eval()
    run(model, [batch(1.0)])
    assert model.training
    mean_loss(model, [batch(1.0)], product)
    assert not model.training


def test_the_mean_loss_is_over_tokens_not_batches() -> None:
    parts = mean_loss(Line(), [batch(1.0, 2.0, 3.0), batch(6.0)], product)
    whole = mean_loss(Line(), [batch(1.0, 2.0, 3.0, 6.0)], product)
    assert parts == pytest.approx(6.0) and whole == pytest.approx(6.0)


def test_arrays_become_tensors_with_features_in_single_precision() -> None:
    assert to_tensor(np.ones(2, np.float16)).dtype == torch.float32
    assert to_tensor(np.ones(2, np.int64)).dtype == torch.int64
    assert to_tensor(np.ones(2, bool)).dtype == torch.bool


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_matrix_products(precision: str, expected: torch.dtype) -> None:
    seen = []

    def objective(model: nn.Module, some: CaptionBatch) -> Loss:
        seen.append((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        return Loss(torch.zeros(()), 1)

    compute(Line(), batch(1.0), objective, precision=precision)
    assert seen == [expected] and precision in PRECISIONS
