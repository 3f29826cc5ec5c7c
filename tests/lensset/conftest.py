"""Makes ``fake_sky`` importable, here and in the worker processes the tests start."""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SkyPy 0.5 calls a deprecated part of astropy when it is first imported
    import skypy  # noqa: F401
