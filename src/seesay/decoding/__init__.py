"""From a model to token ids: greedy, sampling and beam search over anything with `start` and `step`."""
