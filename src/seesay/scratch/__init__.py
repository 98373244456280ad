"""Recurrent networks by hand: NumPy alone, gradients derived by hand, equal to torch.nn. Start with `cells.py`."""

from seesay.scratch.rnn import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
