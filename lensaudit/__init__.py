"""lensaudit: train, explain, probe and report strong-lens finders."""

__version__ = "0.1.0"
