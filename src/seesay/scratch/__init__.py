"""Recurrent networks by hand: NumPy alone, gradients derived by hand, equal to torch.nn. Start with `cells.py`.

For models of several layers `nn`, `functional` and `optim` work on a `Tensor`, which finds its own way back.
"""

from seesay.scratch import functional, nn, optim
from seesay.scratch.course import (
    lstm_backward,
    lstm_forward,
    lstm_step_backward,
    lstm_step_forward,
    rnn_backward,
    rnn_forward,
    rnn_step_backward,
    rnn_step_forward,
)
from seesay.scratch.course_captioner import CaptioningRNN
from seesay.scratch.course_layers import (
    temporal_affine_backward,
    temporal_affine_forward,
    temporal_softmax_loss,
    word_embedding_backward,
    word_embedding_forward,
)
from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.stepper import Stepper
from seesay.scratch.tensor import Tensor, no_grad
from seesay.scratch.threads import get_num_threads, set_num_threads

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "CaptioningRNN",
    "Stepper",
    "Tensor",
    "functional",
    "get_num_threads",
    "lstm_backward",
    "lstm_forward",
    "lstm_step_backward",
    "lstm_step_forward",
    "nn",
    "no_grad",
    "optim",
    "rnn_backward",
    "rnn_forward",
    "rnn_step_backward",
    "rnn_step_forward",
    "set_num_threads",
    "temporal_affine_backward",
    "temporal_affine_forward",
    "temporal_softmax_loss",
    "word_embedding_backward",
    "word_embedding_forward",
]
