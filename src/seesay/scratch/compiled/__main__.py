"""`python -m seesay.scratch.compiled`: what is used here, and why."""

from __future__ import annotations

from seesay.scratch.compiled.binding import library, reason


def main() -> None:
    """Prints a line."""
    found = library()
    if found is None:
        print(f"recurrent layers: NumPy ({reason()})")
    else:
        print(f"recurrent layers: compiled, {found.lanes} floats at a time ({found.path})")


if __name__ == "__main__":
    main()
