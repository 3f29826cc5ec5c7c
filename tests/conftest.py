"""What all tests need."""

import signal
import sys
from pathlib import Path

import pytest

# A job started in the background may ignore Ctrl-C, and so would the commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def let_timm_load():
    """A function that makes timm importable here, or skips."""
    sys.path.insert(0, str(Path(__file__).parent))
    from timm_here import let_timm_load

    def load() -> None:
        if not let_timm_load():
            pytest.skip("timm or torchvision is not installed: make install")

    return load
