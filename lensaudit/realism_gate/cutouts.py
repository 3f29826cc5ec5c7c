"""Numbers of every cutout of two sets, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Cutouts:
    """Numbers of every cutout of both sets, the real ones first.

    Attributes
    ----------
    ids, real, labels
        Name, whether it is of the real set, and label (1 lens, 0 non-lens, −1 unknown) (n,).
    p_real
        Out-of-fold probability of "real" with equal priors, float64 (n,); NaN of what was not compared.
    distance
        Mahalanobis distance from the simulated cutouts, float64 (n,); NaN of what the finder cannot score.
    threshold
        Distance that 1 % of the simulated cutouts exceed.
    """

    ids: tuple[str, ...]
    real: NDArray[np.bool_]
    labels: NDArray[np.int8]
    p_real: NDArray[np.float64]
    distance: NDArray[np.float64]
    threshold: float

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Cutouts beyond the threshold (n,); what the finder cannot score is outside too."""
        return ~(self.distance <= self.threshold)

    def table(self) -> pa.Table:
        """Columns ``id``, ``set``, ``label``, ``distance``, ``outside`` and ``p_real``; a missing number is null."""
        import pyarrow as pa

        return pa.table(
            {
                "id": list(self.ids),
                "set": np.where(self.real, "real", "simulated").tolist(),
                "label": self.labels,
                "distance": pa.array(self.distance, from_pandas=True),
                "outside": self.outside,
                "p_real": pa.array(self.p_real, from_pandas=True),
            }
        )
