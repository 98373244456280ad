"""Blocks that models share; torch only."""
