"""torch.optim's SGD, Adam, AdamW and Adamax on NumPy: the same arguments, defaults, parameter groups and steps.

    optimizer = Adam(model.parameters(), lr=1e-3)
    optimizer.zero_grad(); loss.backward(); clip_grad_norm_(model.parameters(), 5.0); optimizer.step()

A step works in place, block by block, so that a block's values are read from memory once, and allocates nothing large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np

from seesay.errors import DataError
from seesay.scratch.arrays import Array
from seesay.scratch.optimizer import Group, Optimizer
from seesay.scratch.tensor import Tensor

__all__ = ["SGD", "Adam", "AdamW", "Adamax", "Optimizer", "clip_grad_norm_"]


class SGD(Optimizer):
    """v ← μ v + (1 - dampening) g, w ← w - lr v, or with Nesterov w ← w - lr (g + μ v); g includes weight_decay w.

    The first step takes v = g, as torch. Source: Sutskever et al. 2013.

    >>> w = Tensor(np.array([1.0]), requires_grad=True)
    >>> w.grad = np.array([2.0])
    >>> SGD([w], lr=0.1).step(); w.data
    array([0.8])
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and (momentum == 0 or dampening != 0):
            raise DataError(f"nesterov: received momentum {momentum}, dampening {dampening}; expected above 0, and 0.")
        settings = {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay} | settings)

    def slots(self, group: Group) -> tuple[str, ...]:
        """What torch.optim keeps, by the same names."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def rule(self, group: Group, step: int) -> Callable[..., None]:
        """See the class."""
        lr, momentum, nesterov = group["lr"], group["momentum"], group["nesterov"]
        weight_decay, share = group["weight_decay"], 1.0 if step == 1 else 1 - group["dampening"]

        def move(w: Array, g: Array, a: Array, b: Array, *v: Array) -> None:
            d = _decayed(w, g, weight_decay, a)
            for velocity in v:
                velocity *= momentum
                velocity += d if share == 1 else np.multiply(d, share, out=b)
                if nesterov:
                    np.multiply(velocity, momentum, out=b)
                d = np.add(b, d, out=b) if nesterov else velocity
            np.multiply(d, lr, out=b)
            w -= b

        return move


def _decayed(w: Array, g: Array, weight_decay: float, out: Array) -> Array:
    """The gradient, with that of weight_decay / 2 times the squared weights."""
    if not weight_decay:
        return g
    np.multiply(w, weight_decay, out=out)
    out += g
    return out


class Adam(Optimizer):
    """m ← β1 m + (1 - β1) g, v ← β2 v + (1 - β2) g²; w ← w - lr m̂ / (√v̂ + eps), m̂ and v̂ corrected for their start.

    weight_decay adds to the gradient here; AdamW takes it from the weights. Source: Kingma and Ba 2015.

    >>> w = Tensor(np.array([1.0]), requires_grad=True)
    >>> w.grad = np.array([2.0])
    >>> Adam([w], lr=0.1).step(); w.data.round(6)
    array([0.9])
    """

    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def slots(self, group: Group) -> tuple[str, ...]:
        """What torch.optim keeps, by the same names."""
        return "exp_avg", "exp_avg_sq"

    def rule(self, group: Group, step: int) -> Callable[..., None]:
        """See the class."""
        lr, (beta1, beta2), eps, weight_decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]
        size, root, decoupled = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5, self.decoupled

        def move(w: Array, g: Array, a: Array, b: Array, m: Array, v: Array) -> None:
            if decoupled:
                w *= 1 - lr * weight_decay
            g = _decayed(w, g, 0.0 if decoupled else weight_decay, a)
            np.multiply(g, 1 - beta2, out=b)
            b *= g
            v *= beta2
            v += b
            np.multiply(g, 1 - beta1, out=b)
            m *= beta1
            m += b
            if size:  # which goes into the denominator: a pass over the block less
                np.sqrt(v, out=a)
                a *= root / size
                a += eps / size
                np.divide(m, a, out=b)
                w -= b

        return move


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights by lr times it, apart from the gradient (Loshchilov, Hutter 2019).

    >>> w = Tensor(np.array([1.0]), requires_grad=True)
    >>> w.grad = np.array([0.0])
    >>> AdamW([w], lr=0.1, weight_decay=0.5).step(); w.data
    array([0.95])
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)


class Adamax(Optimizer):
    """m as in Adam, u ← max(β2 u, |g| + eps), w ← w - lr m / ((1 - β1ᵗ) u). Source: Kingma and Ba 2015, section 7.1.

    >>> w = Tensor(np.array([1.0]), requires_grad=True)
    >>> w.grad = np.array([2.0])
    >>> Adamax([w], lr=0.1).step(); w.data.round(6)
    array([0.9])
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[Group],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def slots(self, group: Group) -> tuple[str, ...]:
        """What torch.optim keeps, by the same names."""
        return "exp_avg", "exp_inf"

    def rule(self, group: Group, step: int) -> Callable[..., None]:
        """See the class."""
        (beta1, beta2), eps, weight_decay = group["betas"], group["eps"], group["weight_decay"]
        size = group["lr"] / (1 - beta1**step)

        def move(w: Array, g: Array, a: Array, b: Array, m: Array, u: Array) -> None:
            g = _decayed(w, g, weight_decay, a)
            np.multiply(g, 1 - beta1, out=b)
            m *= beta1
            m += b
            np.abs(g, out=b)
            b += eps
            u *= beta2
            np.maximum(u, b, out=u)
            np.divide(m, u, out=b)
            b *= size
            w -= b

        return move


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scales all gradients, in place, so that their norm taken together is at most `max_norm`; returns it as it was.

    As torch.nn.utils.clip_grad_norm_ (Pascanu et al. 2013). A norm that is not finite comes back as it is.

    >>> w = Tensor(np.zeros(2), requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0])
    >>> clip_grad_norm_([w], 1.0), w.grad.round(3).tolist()
    (5.0, [0.6, 0.8])
    """
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters  # not its rows, over which it iterates
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    norm = float(np.sqrt(sum(float(np.vdot(d, d)) for d in gradients)))
    share = max_norm / (norm + 1e-6)
    if not share >= 1:
        with np.errstate(invalid="ignore"):
            for d in gradients:
                d *= share
    return norm
