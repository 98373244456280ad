"""The alignment of a candidate with a reference: METEOR's beam search over possible matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from seesay.metrics.meteor.lexicon import EXACT

# Where it starts in the reference, its words there; the same in the candidate; the module that found it.
Match = tuple[int, int, int, int, int]

BEAM = 40

# Paths are ordered by covered words (most first), chunks and distance (fewest first), packed into one integer. Its
# lowest bits stay free for the place that a path grew from: sorting these integers is METEOR's stable sort.
_PLACE_BITS, _DISTANCE_BITS, _CHUNK_BITS = 24, 40, 16
RANK = 1 << 16
STAY = RANK - 1
_PLACE = (1 << _PLACE_BITS) - 1
DISTANCE = 1 << _PLACE_BITS
CHUNK = 1 << (_PLACE_BITS + _DISTANCE_BITS)
_COVERED = 1 << (_PLACE_BITS + _DISTANCE_BITS + _CHUNK_BITS)

# order, candidate words in use (bits), first free reference word, end of the last match or -1, matches, newest first
Path = tuple[int, int, int, int, Any]
_ORDER, _END = itemgetter(0), itemgetter(3)
# candidate words (bits), candidate start, what it takes from the order, distance, ends in reference and candidate
_Option = tuple[int, int, int, int, int, int, Match]


def align(possible: Sequence[Sequence[Match]], candidate_words: int) -> tuple[list[Match], int]:
    """The matches of the best alignment and its number of chunks.

    `possible` holds for each word of the reference the matches that start there, in the modules' order. The search
    goes through the reference from left to right and keeps the 40 best paths. Source: Denkowski and Lavie 2011,
    section 2; where METEOR 1.5 differs from the paper, this does as METEOR 1.5 does: words covered by anything but an
    exact match count half, rounded down for each match, and the distance between matched positions is counted
    against a path's later siblings, not against the path itself.
    """
    certain = _certain(possible, candidate_words)
    paths: list[Path] = [(0, 0, 0, -1, None)]
    for place, matches in enumerate(possible):
        if not matches:
            paths = skip_all(paths, place)
        elif certain[place]:
            paths = take_all(paths, option(matches[0]))
        else:
            paths = _branch(paths, place, [option(match) for match in matches])
    return ended(paths)


def ended(paths: list[Path]) -> tuple[list[Match], int]:
    """The matches of the best of the paths at the end of the reference, and its number of chunks."""
    order, _, _, _, link = min((_closed(path) for path in paths), key=_ORDER)
    return _unlink(link), (order >> (_PLACE_BITS + _DISTANCE_BITS)) & ((1 << _CHUNK_BITS) - 1)


def _closed(path: Path) -> Path:
    """The path with its last chunk ended."""
    order, used, free, end, link = path
    return path if end < 0 else (order + CHUNK, used, free, -1, link)


def _certain(possible: Sequence[Sequence[Match]], candidate_words: int) -> list[bool]:
    """Where a single match starts that shares no word with any other: every path takes it."""
    candidate, reference = [0] * candidate_words, [0] * len(possible)
    for matches in possible:
        for start, length, candidate_start, candidate_length, _ in matches:
            for word in range(start, start + length):
                reference[word] += 1
            for word in range(candidate_start, candidate_start + candidate_length):
                candidate[word] += 1
    return [
        len(matches) == 1
        and max(reference[matches[0][0] : matches[0][0] + matches[0][1]]) == 1
        and max(candidate[matches[0][2] : matches[0][2] + matches[0][3]]) == 1
        for matches in possible
    ]


def option(match: Match) -> _Option:
    """A match as a way for a path to go on."""
    start, length, candidate_start, candidate_length, module = match
    covered = length + candidate_length if module == EXACT else (length >> 1) + (candidate_length >> 1)
    words = ((1 << candidate_length) - 1) << candidate_start
    distance = abs(start - candidate_start) * DISTANCE
    ends = start + length, candidate_start + candidate_length
    return words, candidate_start, covered * _COVERED, distance, *ends, match


def skip_all(paths: list[Path], place: int) -> list[Path]:
    """All paths beyond a word without matches; only those that end a chunk here change."""
    if max(map(_END, paths)) < 0:
        return paths
    skipped = [path if path[3] < 0 or path[2] > place else _closed(path) for path in paths]
    if len(skipped) > 1:
        skipped.sort(key=_ORDER)
    return skipped


def take_all(paths: list[Path], option: _Option) -> list[Path]:
    """All paths with a match that no other stands in the way of."""
    words, start, covered, _, free, end, match = option
    taken = [
        (order - covered + (CHUNK if last >= 0 and last != start else 0), used | words, free, end, (match, link))
        for order, used, _, last, link in paths
    ]
    if len(taken) > 1:
        taken.sort(key=_ORDER)
    return taken


def _branch(paths: list[Path], place: int, options: list[_Option]) -> list[Path]:
    """Each path with each match that it has words free for, and without any: the best of them.

    First only their orders are found, each with the path's rank and the option's number below it; then the best are
    made into paths.
    """
    found = []
    numbered = list(enumerate(options))
    for rank, (order, used, free, end, _) in enumerate(paths):
        order += rank * RANK
        if free > place:
            found.append(order + STAY)
            continue
        for number, (words, start, covered, distance, _, _, _) in numbered:
            if not used & words:
                found.append(order - covered + (CHUNK if end >= 0 and end != start else 0) + number)
                order += distance
        found.append(order + (CHUNK if end >= 0 else 0) + STAY)
    found.sort()
    return [grown(order, paths[(order & _PLACE) // RANK], place, options) for order in found[:BEAM]]


def grown(order: int, path: Path, place: int, options: Mapping[int, _Option] | Sequence[_Option]) -> Path:
    """The path with the option that `order` holds the number of, or with none."""
    number = order & STAY
    order &= ~_PLACE
    if number == STAY:
        return order, path[1], path[2], path[3] if path[2] > place else -1, path[4]
    words, _, _, _, free, end, match = options[number]
    return order, path[1] | words, free, end, (match, path[4])


def _unlink(link: Any) -> list[Match]:
    matches = []
    while link is not None:
        matches.append(link[0])
        link = link[1]
    return matches[::-1]
