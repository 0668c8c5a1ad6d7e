"""NoiseDash: what imperfect labels do to an object detector, and what to do about it."""

__version__ = "0.1.0"
