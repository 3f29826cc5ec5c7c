"""timm beside a CPU-only torch: what torchvision lacks there, declared, so that the real path is exercised.

Published wheels of torchvision load their operators from a library built for CUDA, and without it stop at
``torchvision::nms``, which no finder uses. Declaring the operators' schemas is enough to import it. The wheel lies in a
folder of its own (see ``.ci/install``): on the path of everybody it would fail where it is imported.

Run as a script it is the command line with timm: ``python tests/timm_here.py train transfer-efficientnet-lite0 …``.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import torch

FOLDER = Path(sys.prefix) / "torchvision"
_DECLARED: list[torch.library.Library] = []


def let_timm_load() -> bool:
    """Whether timm can be imported from now on; what is needed for that is done once."""
    if find_spec("timm") is None:
        return False
    if find_spec("torchvision") is None and FOLDER.is_dir():
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(operators)  # the declaration ends with this object
        sys.path.append(str(FOLDER))
    return find_spec("torchvision") is not None


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.argv[0] = "lensaudit"
    let_timm_load()
    from lensaudit.cli.app import main

    main()
