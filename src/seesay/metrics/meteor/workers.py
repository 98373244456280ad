"""METEOR of many pictures in processes of their own, while the caller does something else.

The aligner is pure Python, so that threads would wait for one another. A worker is this file run as a program: captions
come in as JSON on its standard input, statistics go out on its standard output.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from seesay.cores import usable_cores
from seesay.errors import SeesayError
from seesay.metrics.meteor import Meteor, scores_of
from seesay.metrics.meteor.cache import open_cache
from seesay.metrics.meteor.statistics import Statistics
from seesay.metrics.pairs import Caption, Scores, tokens_of

MANY = 1000  # pictures: below, starting a process takes longer than it saves
_MOST = 2  # workers: about 65 MB each for 5,000 pictures with their references, 160 MB for 40,000


class Workers:
    """METEOR under way: begun when it is made, `result()` waits for it.

    Raises what `Meteor.load` raises, before anything is begun. The captions must have been checked already.
    """

    def __init__(
        self,
        candidates: Mapping[str, Caption],
        references: Mapping[str, Sequence[Caption]],
        tell: Callable[[str], None] | None = None,
    ) -> None:
        open_cache(None, tell or (lambda message: None))  # once here, not by each worker
        ids, count = list(candidates), min(_MOST, usable_cores())
        self._parts = [ids[start::count] for start in range(count)]
        self._order = ids
        self._processes = []
        for part in self._parts:
            process = subprocess.Popen(
                # -P: a json.py in the current folder is none of our business
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            pairs = [[[*tokens_of(candidates[i])], [[*tokens_of(text)] for text in references[i]]] for i in part]
            assert process.stdin
            with suppress(BrokenPipeError), process.stdin as pipe:  # result() tells of a worker that failed
                pipe.write(json.dumps(pairs).encode())
            self._processes.append(process)

    def stop(self) -> None:
        """End what is still at work; its scores are lost."""
        for process in self._processes:
            process.kill()
            _output(process)

    def result(self) -> Scores:
        """The scores of all pictures, those of `Meteor.score`."""
        found: dict[str, Statistics] = {}
        outputs = [_output(process) for process in self._processes]
        self._processes = []
        for (code, said), part in zip(outputs, self._parts, strict=True):
            if code:
                raise SeesayError(f"METEOR: a worker ended with {code}; run again, or with fewer pictures.")
            found |= {i: Statistics(*row) for i, row in zip(part, json.loads(said), strict=True)}
        return scores_of({i: found[i] for i in self._order})


def _output(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    assert process.stdout
    with process.stdout as pipe:
        said = pipe.read()
    return process.wait(), said


def _work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the whole group: the parent says what there is to say
    pairs = json.load(sys.stdin)
    candidates = {str(n): candidate for n, (candidate, _) in enumerate(pairs)}
    references = {str(n): texts for n, (_, texts) in enumerate(pairs)}
    json.dump(list(Meteor.load().statistics(candidates, references).values()), sys.stdout)


if __name__ == "__main__":
    _work()
