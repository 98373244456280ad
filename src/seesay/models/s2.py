"""The S2 transformer: grid cells, a few pseudo regions made of them, and an encoder whose layers are all heard.

S2 (Zeng et al. 2022): SP, spatial pseudo regions after NetVLAD (Arandjelovic et al. 2016); SR, a shortcut from all
layers of the encoder to its output. Cells and pseudo regions go through the same encoder. With `faithful`, it is what
the released code computes, so that released weights give the same captions:
- attention has its Add&Norm twice, in the encoder and in the decoder;
- position vectors are random and fixed, since that code draws its sinusoids anew together with the weights;
- pictures are filled up to (or cut at) `cells` rows, and rows of zeros, though hidden from attention, count in SP.
Its mask that hides a cell whose normalised values happen to sum to zero is not repeated, nor its unused parameters.
B batch, N captions, T words, R cells, D feature size, H hidden size, V vocabulary size, C pseudo regions.
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
SHARE = 0.2  # of the shortcut in the encoder's output


@dataclass(frozen=True)
class Config:
    """Sizes and regularisation. `layers` are the encoder's and the decoder's; `clusters` are the pseudo regions.

    `positions` is the most words of a caption, <bos> among them. `cells` counts where `faithful` alone.
    """

    hidden_size: int = 512
    heads: int = 8
    layers: int = 3
    feedforward_size: int = 2048
    dropout: float = 0.1
    positions: int = 54
    clusters: int = 5
    faithful: bool = False
    cells: int = 49


class PseudoRegions(nn.Module):
    """How the cells assigned to each cluster differ from its centre, summed: a region without a place.

    >>> regions = PseudoRegions(4, 2)(torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool))
    >>> regions.shape, round(regions[0].norm().item(), 4)
    (torch.Size([3, 2, 4]), 1.0)
    """

    def __init__(self, feature_size: int, clusters: int) -> None:
        super().__init__()
        self.assign = nn.Linear(feature_size, clusters)
        self.centres = nn.Parameter(nn.init.xavier_uniform_(torch.empty(clusters, feature_size)))

    def forward(self, features: Tensor, counted: Tensor) -> Tensor:
        """(B, R, D) to (B, C, D), of norm 1 in all; cells count where `counted` (B, R)."""
        cells = nn.functional.normalize(features, dim=-1)
        shares = (self.assign(cells).softmax(-1) * counted.unsqueeze(-1)).transpose(1, 2)
        # The sum over cells of share * (cell - centre), without writing down all the differences.
        sums = shares @ cells - shares.sum(-1, keepdim=True) * self.centres
        sums = nn.functional.normalize(sums, dim=-1)
        return nn.functional.normalize(sums.flatten(1), dim=-1).view_as(sums)


class Encoder(nn.Module):
    """Layers over regions whose outputs, all together, add a share to the last: (B, S, D) to (B, S, H)."""

    def __init__(self, shape: Shape, layers: int, feature_size: int) -> None:
        super().__init__()
        hidden = shape.hidden_size
        self.regions = embed_regions(feature_size, shape)
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(layers))
        self.shortcut = nn.Sequential(
            nn.Linear(layers * hidden, layers * hidden),
            nn.LeakyReLU(),
            nn.Linear(layers * hidden, hidden),
            nn.LeakyReLU(),
        )

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """The regions, heard at every layer; what is not in `mask` (B, S) is seen by none."""
        outputs = encode(self.layers, self.regions(features), mask)
        return outputs[-1] + SHARE * self.shortcut(torch.cat(outputs, dim=-1))


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
            clusters=(config.clusters, 1, 4096),
            cells=(config.cells, 1, 4096),
        )
        self.config = config
        norm = "double" if config.faithful else "post"
        shape = Shape(config.hidden_size, config.heads, config.feedforward_size, config.dropout, norm, config.dropout)
        self.pseudo = PseudoRegions(feature_size, config.clusters)
        self.encoder = Encoder(shape, config.layers, feature_size)
        initialise(self)
        self.decoder = Decoder(
            shape,
            layers=config.layers,
            vocabulary_size=vocabulary_size,
            positions=config.positions,
            published=config.faithful,
        )

    def _see(self, features: Tensor, mask: Tensor) -> Seeing:
        count = mask.shape[1]
        if self.config.faithful:
            features, mask = fill_up(features, mask, self.config.cells)
        features, mask = real_regions(features, mask)
        pseudo = self.pseudo(features, torch.ones_like(mask) if self.config.faithful else mask)
        everyone = torch.ones(pseudo.shape[:2], dtype=torch.bool, device=mask.device)
        memory = torch.cat([self.encoder(features, mask), self.encoder(pseudo, everyone)], dim=1)
        return Seeing(memory.unsqueeze(1), torch.cat([mask, everyone], dim=1), count, min(count, mask.shape[1]))

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
