"""Words and phrases as 64-bit numbers, the same on every machine; the packed data knows them by nothing else.

A phrase that is not in the data meets the number of one that is with a probability of 2.6 million / 2^64.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

PHRASE_WORDS = 7  # the longest phrase of the paraphrase table
SEED = 0x9E3779B97F4A7C15

_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)


def hash_word(word: str) -> int:
    """The number of one word.

    >>> hash_word("dog") == hash_word("dog") != hash_word("dogs")
    True
    """
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def extend(phrases: Hashes, words: Hashes) -> Hashes:
    """The numbers of phrases (N,), each made one word longer by the words' numbers (N,); a new phrase is SEED."""
    mixed = (phrases ^ words) * _FACTOR
    mixed ^= mixed >> _SHIFT
    mixed *= _FACTOR
    mixed ^= mixed >> _SHIFT
    return mixed
