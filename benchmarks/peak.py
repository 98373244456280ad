"""The multiply-add peak of one thread, in registers alone: what every share of the peak is a share of."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from seesay.scratch.compiled.build import RECURRENT, compiler

PEAK = r"""
#include <time.h>
#include "vectors.h"
volatile float kept; /* what nobody reads would not be computed */
double peak(long rounds)
{
    Vector sum[12], x = splat(0.999999f), y = splat(1e-6f);
    struct timespec from, to;
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        sum[i] = y;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (long k = 0; k < rounds; k++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            Vector next = sum[i] * x + y; /* of its own: an array whose parts are pinned would lie in memory */
            KEEP(next);
            sum[i] = next;
        }
#pragma GCC unroll 12
    for (int i = 1; i < 12; i++)
        sum[0] += sum[i];
    kept = sum[0][0];
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return rounds * 24e-9 * LANES / (to.tv_sec - from.tv_sec + 1e-9 * (to.tv_nsec - from.tv_nsec));
}
"""


def measured_peak() -> Callable[[], float]:
    """A function that measures, in two milliseconds, the thousands of millions of operations a second of one thread."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "peak.c", Path(folder) / "peak.so"
        source.write_text(PEAK, encoding="utf-8")
        flags = ["-O3", "-march=native", "-shared", "-fPIC", "-ffp-contract=fast", f"-I{RECURRENT.main.parent}"]
        subprocess.run([*compiler(), *flags, str(source), "-o", str(target)], check=True)
        function = ctypes.CDLL(str(target)).peak
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_long]
    return partial(function, 800_000)
