"""User segmentation inside DuckDB."""

__version__ = "0.1.0"
