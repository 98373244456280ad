"""Scores of captions against references: BLEU, ROUGE-L, CIDEr and CIDEr-D as COCO computes them, without Java."""
