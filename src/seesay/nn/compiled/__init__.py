"""What a model in use does besides large products of floats, in C: attention, normalisation, 8 bits, the best words.

Built where a compiler is, like the recurrent kernels (see `seesay.scratch.compiled`), for work that is worth it; torch
does it otherwise, with the same numbers up to rounding. No gradients: under `torch.no_grad()` alone.
"""
