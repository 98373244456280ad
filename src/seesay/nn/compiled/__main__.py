"""`python -m seesay.nn.compiled`: what is used here, and why."""

from __future__ import annotations

from seesay.nn.compiled.binding import FINDER


def main() -> None:
    """Prints a line."""
    found = FINDER.library()
    if found is None:
        print(f"models in use: torch ({FINDER.reason()})")
    else:
        print(f"models in use: compiled, 8 bits {'in C' if found.multiplies_bytes else 'by oneDNN'} ({found.path})")


if __name__ == "__main__":
    main()
