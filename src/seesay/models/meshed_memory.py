"""The meshed-memory transformer: an encoder with learned memory slots, and words that look at all of its levels.

M2 (Cornia et al. 2020). The network is the paper's; with `faithful`, it is what the released code computes, so that
released weights give the same captions:
- position vectors are random and fixed, since that code draws its sinusoids anew together with the weights;
- pictures are filled up to (or cut at) `regions` rows, and rows of zeros are looked at like any other, since its mask
  is sought after a layer that leaves no zeros.
B batch, N captions, T words, R regions, D feature size, H hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seesay.models import Forced
from seesay.nn.attention import fill_up, real_regions
from seesay.nn.decoder import Decoder, Seeing, State
from seesay.nn.transformer import EncoderLayer, Shape, check_counts, embed_regions, encode, initialise
from seesay.text.vocabulary import PAD

TASK = "caption"


@dataclass(frozen=True)
class Config:
    """Sizes and regularisation. `layers` are the encoder's and the decoder's; `slots` are of each encoder layer.

    `positions` is the most words of a caption, <bos> among them. `regions` counts where `faithful` alone.
    """

    hidden_size: int = 512
    heads: int = 8
    layers: int = 3
    feedforward_size: int = 2048
    dropout: float = 0.1
    positions: int = 54
    slots: int = 40
    faithful: bool = False
    regions: int = 50


class Model(nn.Module):
    """The network; see the module's text.

    >>> model = Model(Config(16, 2, 2, 32), feature_size=3, vocabulary_size=11)
    >>> state = model.start(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))
    >>> logits, state = model.step(torch.tensor([2, 2]), state)
    >>> logits.shape, state.attention.shape
    (torch.Size([2, 11]), torch.Size([2, 5]))
    """

    def __init__(self, config: Config, *, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        check_counts(
            layers=(config.layers, 1, 64),
            positions=(config.positions, 2, 4096),
            slots=(config.slots, 0, 4096),
            regions=(config.regions, 1, 4096),
        )
        self.config = config
        hidden = config.hidden_size
        shape = Shape(hidden, config.heads, config.feedforward_size, config.dropout)
        self.regions = embed_regions(feature_size, shape)
        self.encoder = nn.ModuleList(EncoderLayer(shape, config.slots) for _ in range(config.layers))
        initialise(self)
        self.decoder = Decoder(
            shape,
            layers=config.layers,
            levels=config.layers,
            vocabulary_size=vocabulary_size,
            positions=config.positions,
            published=config.faithful,
        )
        if config.faithful and config.slots:
            self._draw_slots_as_released()

    def _draw_slots_as_released(self) -> None:
        # Glorot's bounds for an array (1, slots, H): its fans are slots * H and H.
        bound = (6 / (self.config.hidden_size * (self.config.slots + 1))) ** 0.5
        for name, parameter in self.encoder.named_parameters():
            if "slot_" in name:
                nn.init.uniform_(parameter, -bound, bound)

    def _see(self, features: Tensor, mask: Tensor) -> Seeing:
        count = mask.shape[1]
        if self.config.faithful:
            features, mask = fill_up(features, mask, self.config.regions)
        features, mask = real_regions(features, mask)
        if self.config.faithful:
            mask = torch.ones_like(mask)
        levels = encode(self.encoder, self.regions(features), mask)
        return Seeing(torch.stack(levels, dim=1), mask, count, min(count, mask.shape[1]))

    def start(self, features: Tensor, mask: Tensor) -> State:
        """The state before the first word, from `features` (B, R, D) and `mask` (B, R)."""
        return self.decoder.start(self._see(features, mask))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, V) of the next word after `tokens` (B,)."""
        return self.decoder.step(tokens, state)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing over captions `tokens` (N, T) of pictures `rows` (N,); each picture is encoded once."""
        return self.force(self.start(features, mask), tokens, rows)

    def force(self, state: State, tokens: Tensor, rows: Tensor) -> Forced:
        """Teacher forcing from `state`, that of `start`: pictures that are encoded already are not encoded again."""
        targets = tokens[:, 1:]
        real = targets != PAD
        logits, attention = self.decoder.force(state, tokens[:, :-1], real, rows)
        return Forced(logits, targets[real], attention)
