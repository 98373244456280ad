"""Blocks that models share; recurrent ones stand on seesay.scratch."""
