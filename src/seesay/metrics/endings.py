"""Captions that break off: "a man riding a wave on top of a". What training by a reward may lead to.

Where the end of a sentence is no word of the reward, captions that stop after a function word score higher than whole
ones, by up to 4 CIDEr-D on COCO (Hu et al. 2023): a score of such captions is not to be held against one of whole ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Articles, possessives, conjunctions, and the prepositions and forms of "to be" that want something to follow. Of
# Flickr8k's human captions one in a thousand ends with one of these; "on", "her" or "behind" may well end a sentence.
_OPEN = """
a an the his its their my your our and or but nor as than while with without of to from for at in into onto upon among
between beside near next against is are was were be been being has have had which who whose where very
"""
OPEN_ENDS = frozenset(_OPEN.split())


def breaks_off(tokens: Sequence[str]) -> bool:
    """Whether a tokenised caption ends with a word that wants another; an empty one does not.

    >>> breaks_off("a man on top of a".split()), breaks_off("a man on a wave".split()), breaks_off([])
    (True, False, False)
    """
    return bool(tokens) and tokens[-1] in OPEN_ENDS


def broken_share(captions: Iterable[Sequence[str]]) -> float:
    """The share of tokenised captions that break off; 0 of none.

    >>> broken_share([["a", "dog", "and"], ["a", "dog"]])
    0.5
    """
    found = [breaks_off(tokens) for tokens in captions]
    return sum(found) / len(found) if found else 0.0
