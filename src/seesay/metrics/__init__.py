"""Scores of captions against references, as COCO computes them, without Java: BLEU, METEOR, ROUGE-L, CIDEr(-D)."""

from seesay.metrics.cider import Cider, CiderD
from seesay.metrics.pairs import Scores

__all__ = ["Cider", "CiderD", "Scores"]
