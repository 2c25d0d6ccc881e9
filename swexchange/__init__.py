"""Unified data channel and municipal data exchange platform of a trade Single Window."""

__version__ = "0.1.0"
