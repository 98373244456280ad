"""seesay turns pictures into words."""

__version__ = "0.1.0"
