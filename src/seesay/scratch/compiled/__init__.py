"""The recurrent kernels in C, built where a compiler is and used where the results are NumPy's; NumPy does the rest.

`python -m seesay.scratch.compiled` tells what is used here, and why.
"""

from seesay.scratch.compiled.binding import available, reason
from seesay.scratch.compiled.build import RECURRENT, NotBuilt, Source, open_library
from seesay.scratch.compiled.finding import Finder, use_compiled

__all__ = ["RECURRENT", "Finder", "NotBuilt", "Source", "available", "open_library", "reason", "use_compiled"]
