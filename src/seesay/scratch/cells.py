"""One step of an RNN, a GRU and an LSTM, and its gradient, in the conventions of torch.nn's cells. Read this first.

Shapes: x (B, I), h (B, P), c (B, H); for all but a projecting LSTM P = H. Weights multiply from the right, transposed:
x W_ihᵀ + b_ih + h W_hhᵀ + b_hh is the pre-activation a (B, G H). A forward function returns the new state and a cache;
its backward takes the gradient of the loss by the new state, and that cache, and returns the gradients by x, by the old
state and by the weights. Neither ever writes to what it is given.

Three facts carry every derivation below:
- tanh' = 1 - tanh², and for the sigmoid σ' = σ (1 - σ), so a gate's value is all that its derivative needs;
- for a = x Wᵀ + b:  dx = da W,  dW = daᵀ x,  db = the sum of da over the batch;
- where a value is used twice, its gradients add.

`sequence_*.py` runs the same formulas over whole sequences, fast. This file is the one they are held against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from seesay.scratch.arrays import Array, State, Weights

Cache = tuple[Any, ...]
Step = Callable[[Array, State, Weights], tuple[State, Cache]]
StepBack = Callable[[State, Cache], tuple[Array, State, Weights]]


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)) of any shape, as (1 + tanh(a/2)) / 2, which cannot overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    halved: Array = 0.5 * np.tanh(0.5 * a) + 0.5
    return halved


def _affine(x: Array, weight: Array, bias: Array | None) -> Array:
    product: Array = x @ weight.T
    return product if bias is None else product + bias


def _weights_back(da_x: Array, da_h: Array, x: Array, h: Array, w: Weights, dhr: Array | None = None) -> Weights:
    """Gradients by the weights, given those by the input's and by the state's part of the pre-activation."""
    weights = Weights(da_x.T @ x, da_h.T @ h, hr=dhr)
    return weights if w.bias_ih is None else weights._replace(bias_ih=da_x.sum(0), bias_hh=da_h.sum(0))


def rnn_step(x: Array, state: State, w: Weights, relu: bool = False) -> tuple[State, Cache]:
    """h' = tanh(a), or max(a, 0), with a = x W_ihᵀ + b_ih + h W_hhᵀ + b_hh (Elman 1990, in torch.nn.RNNCell's form).

    Returns ((h',), cache).

    >>> weights = Weights(ih=np.ones((1, 1)), hh=np.ones((1, 1)))
    >>> (h,), cache = rnn_step(np.array([[2.0]]), (np.array([[-1.0]]),), weights, relu=True)
    >>> h.item()
    1.0
    """
    (h,) = state
    a = _affine(x, w.ih, w.bias_ih) + _affine(h, w.hh, w.bias_hh)
    new = np.maximum(a, 0) if relu else np.tanh(a)
    return (new,), (x, h, new, w, relu)


def rnn_step_back(dstate: State, cache: Cache) -> tuple[Array, State, Weights]:
    """Gradients (dx, (dh,), by the weights) of `rnn_step`: da = dh' (1 - h'²), or dh' where h' > 0.

    >>> weights = Weights(ih=np.ones((1, 1)), hh=np.full((1, 1), 3.0))
    >>> _, cache = rnn_step(np.array([[2.0]]), (np.array([[-0.5]]),), weights, relu=True)
    >>> dx, (dh,), by_weights = rnn_step_back((np.array([[1.0]]),), cache)
    >>> dx.item(), dh.item(), by_weights.ih.item()
    (1.0, 3.0, 2.0)
    """
    x, h, new, w, relu = cache
    da = dstate[0] * ((new > 0) if relu else 1 - new * new)
    return da @ w.ih, (da @ w.hh,), _weights_back(da, da, x, h, w)


def gru_step(x: Array, state: State, w: Weights) -> tuple[State, Cache]:
    """Gates r, z = σ(a_r), σ(a_z); candidate n = tanh(x W_in + r q) with q = h W_hn + b_hn; h' = (1 - z) n + z h.

    Cho et al. 2014, in the variant of torch.nn.GRUCell: r scales the state's part of the candidate after the product,
    and z keeps the old state (the paper's z does the same; some texts swap z and 1 - z). Returns ((h',), cache).

    >>> weights = Weights(ih=np.zeros((3, 1)), hh=np.zeros((3, 1)))
    >>> (h,), cache = gru_step(np.array([[5.0]]), (np.array([[1.0]]),), weights)
    >>> h.item()
    0.5
    """
    (h,) = state
    size = h.shape[1]
    a_x, a_h = _affine(x, w.ih, w.bias_ih), _affine(h, w.hh, w.bias_hh)
    gates = sigmoid(a_x[:, : 2 * size] + a_h[:, : 2 * size])
    r, z, q = gates[:, :size], gates[:, size:], a_h[:, 2 * size :]
    n = np.tanh(a_x[:, 2 * size :] + r * q)
    new = (1 - z) * n + z * h
    return (new,), (x, h, r, z, n, q, w)


def gru_step_back(dstate: State, cache: Cache) -> tuple[Array, State, Weights]:
    """Gradients (dx, (dh,), by the weights) of `gru_step`.

    From h' = (1 - z) n + z h:  dz = dh' (h - n),  dn = dh' (1 - z), and dh' z goes straight to h.
    Through n's tanh: da_n = dn (1 - n²); it reaches the input's part as it is, r as da_n q, and q as da_n r. That is
    the one place where the gradients of the two parts differ: dq belongs to W_hn and b_hn alone.

    >>> weights = Weights(ih=np.zeros((3, 1)), hh=np.zeros((3, 1)))
    >>> _, cache = gru_step(np.array([[5.0]]), (np.array([[1.0]]),), weights)
    >>> dx, (dh,), by_weights = gru_step_back((np.array([[1.0]]),), cache)
    >>> dh.item(), by_weights.ih.ravel().tolist()
    (0.5, [0.0, 1.25, 2.5])
    """
    x, h, r, z, n, q, w = cache
    (d,) = dstate
    da_z = d * (h - n) * z * (1 - z)
    da_n = d * (1 - z) * (1 - n * n)
    da_r = da_n * q * r * (1 - r)
    da_x = np.concatenate((da_r, da_z, da_n), axis=1)
    da_h = np.concatenate((da_r, da_z, da_n * r), axis=1)
    return da_x @ w.ih, (d * z + da_h @ w.hh,), _weights_back(da_x, da_h, x, h, w)


def lstm_step(x: Array, state: State, w: Weights) -> tuple[State, Cache]:
    """Gates i, f, o = σ(a); candidate g = tanh(a_g); c' = f c + i g; h' = o tanh(c'), times W_hrᵀ where it projects.

    Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; the projection is that of Sak et al. 2014.
    The four blocks of a have weights of their own and come in the order i f g o. Returns ((h', c'), cache).

    >>> weights = Weights(ih=np.zeros((4, 1)), hh=np.zeros((4, 1)))
    >>> (h, c), cache = lstm_step(np.array([[5.0]]), (np.array([[0.0]]), np.array([[2.0]])), weights)
    >>> c.item(), round(h.item(), 4)
    (1.0, 0.3808)
    """
    h, c = state
    a = _affine(x, w.ih, w.bias_ih) + _affine(h, w.hh, w.bias_hh)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    new_c = f * c + i * g
    squashed = np.tanh(new_c)
    new_h = o * squashed
    return (new_h if w.hr is None else new_h @ w.hr.T, new_c), (x, h, c, i, f, g, o, squashed, w)


def lstm_step_back(dstate: State, cache: Cache) -> tuple[Array, State, Weights]:
    """Gradients (dx, (dh, dc), by the weights) of `lstm_step`.

    c' reaches the loss twice, as the next state and through h' = o tanh(c'): in all dc' + dh' o (1 - tanh²(c')) =: e.
    From c' = f c + i g:  di = e g,  df = e c,  dg = e i,  dc = e f; and do = dh' tanh(c').
    Each then passes its own gate: da_i = di i (1 - i), da_g = dg (1 - g²), and so on. dc has no weight matrix in its
    way: this is why an LSTM's gradient survives many steps.

    >>> weights = Weights(ih=np.zeros((4, 1)), hh=np.zeros((4, 1)))
    >>> _, cache = lstm_step(np.array([[5.0]]), (np.array([[0.0]]), np.array([[2.0]])), weights)
    >>> dx, (dh, dc), by_weights = lstm_step_back((np.array([[0.0]]), np.array([[1.0]])), cache)
    >>> dc.item(), by_weights.ih.ravel().tolist()
    (0.5, [0.0, 2.5, 2.5, 0.0])
    """
    x, h, c, i, f, g, o, squashed, w = cache
    d, e = dstate
    dhr = None
    if w.hr is not None:
        d, dhr = d @ w.hr, d.T @ (o * squashed)
    e = e + d * o * (1 - squashed * squashed)
    da_i, da_f, da_g = e * g * i * (1 - i), e * c * f * (1 - f), e * i * (1 - g * g)
    da = np.concatenate((da_i, da_f, da_g, d * squashed * o * (1 - o)), axis=1)
    return da @ w.ih, (da @ w.hh, e * f), _weights_back(da, da, x, h, w, dhr)
