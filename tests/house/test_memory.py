"""Freed memory is kept: told by the page faults of a loop that takes and frees the same block."""

import os
import subprocess
import sys

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc is set on Linux only")

FAULTS = """
import resource, sys
import numpy as np
from lensaudit.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)
def faults(turns):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(turns):
        np.empty(48 << 20, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
print(faults(10))
"""


def run(word: str, **environment: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name and "TUNABLES" not in name}
    command = [sys.executable, "-c", FAULTS, word]
    said = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True).stdout.split()
    return said[0], int(said[1])


@linux
def test_a_block_taken_again_costs_no_pages():
    """48 MiB are above the 32 that glibc keeps at most by itself; ten times as many huge pages or pages are faulted."""
    (_, handed_back), (kept, few) = run("leave"), run("keep")
    if kept == "False":
        pytest.skip("this C library has no mallopt, or refuses")
    assert handed_back >= 10
    assert few < handed_back / 10


@linux
def test_the_users_own_settings_stand():
    assert run("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
