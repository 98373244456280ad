"""Pixels to grid features: the encoder, and its run over a folder of pictures."""
