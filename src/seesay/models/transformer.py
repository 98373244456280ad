"""The plain captioning transformer: regions look at one another, words at those before them and at the regions.

Vaswani et al. 2017 over picture regions, as in Sharma et al. 2018. With `pre_norm`, normalisation comes before each
part (Xiong et al. 2020), which needs no warm-up to be stable; the head may share the embedding's weights (Press and
Wolf 2017). B batch, N captions, T words, R regions, D feature size, H hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from seesay.models import Forced
from seesay.nn.attention import real_regions
from seesay.nn.decoder import Decoder, Seeing, State
from seesay.nn.dropout import RegionDropout, WordDropout
from seesay.nn.transformer import EncoderLayer, Shape, check_counts, embed_regions, encode, initialise
from seesay.text.vocabulary import BOS, PAD, UNK

TASK = "caption"


@dataclass(frozen=True)
class Config:
    """Sizes and regularisation. `positions` is the most words of a caption, <bos> among them.

    `layers` are the decoder's. In training, `region_dropout` hides that share of the regions, and `word_dropout` that
    share of the words already said.
    """

    hidden_size: int = 512
    heads: int = 8
    layers: int = 3
    encoder_layers: int = 3
    feedforward_size: int = 2048
    dropout: float = 0.1
    region_dropout: float = 0.0
    word_dropout: float = 0.0
    positions: int = 54
    pre_norm: bool = True
    tied: bool = True


class Model(nn.Module):
    """The network; see the module's text.

    >>> import torch
    >>> model = Model(Config(16, 2, 1, 1, 32), feature_size=3, vocabulary_size=11)
    >>> state = model.start(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))
    >>> logits, state = model.step(torch.tensor([2, 2]), state)
    >>> logits.shape, state.attention.shape
    (torch.Size([2, 11]), torch.Size([2, 5]))
    """

    def __init__(self, config: Config, *, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        check_counts(
            layers=(config.layers, 1, 64),
            encoder_layers=(config.encoder_layers, 0, 64),
            positions=(config.positions, 2, 4096),
        )
        self.config = config
        self.hide = RegionDropout(config.region_dropout)
        self.forget = WordDropout(config.word_dropout, unknown=UNK, begin=BOS)
        hidden, norm = config.hidden_size, "pre" if config.pre_norm else "post"
        shape = Shape(hidden, config.heads, config.feedforward_size, config.dropout, norm)
        self.regions = embed_regions(feature_size, shape)
        self.encoder = nn.ModuleList(EncoderLayer(shape) for _ in range(config.encoder_layers))
        # With normalisation first, nothing has normalised the sum of the branches yet.
        self.norm = nn.LayerNorm(hidden) if config.pre_norm and config.encoder_layers else nn.Identity()
        initialise(self)
        self.decoder = Decoder(
            shape,
            layers=config.layers,
            vocabulary_size=vocabulary_size,
            positions=config.positions,
            dropout=config.dropout,
            tied=config.tied,
            bias=True,
        )

    def _see(self, features: Tensor, mask: Tensor) -> Seeing:
        features, mask = real_regions(features, mask)
        mask = self.hide(mask)
        x = encode(self.encoder, self.regions(features), mask)[-1]
        return Seeing(self.norm(x).unsqueeze(1), mask, mask.shape[1], mask.shape[1])

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
        targets, said = tokens[:, 1:], self.forget(tokens[:, :-1])
        real = targets != PAD
        logits, attention = self.decoder.force(state, said, real, rows)
        return Forced(logits, targets[real], attention)
