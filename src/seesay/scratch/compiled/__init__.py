"""The recurrent kernels in C, built where a compiler is and used where the results are NumPy's; NumPy does the rest.

`python -m seesay.scratch.compiled` tells what is used here, and why.
"""

from seesay.scratch.compiled.binding import available, reason, use_compiled

__all__ = ["available", "reason", "use_compiled"]
