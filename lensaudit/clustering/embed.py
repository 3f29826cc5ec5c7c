"""Embeddings of a set's images, in one orientation or in all eight; a stopped run goes on."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from lensaudit.errors import DataError
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.finder import weights_hash
from lensaudit.finders.layers import DIHEDRAL, MixtureHead, dihedral
from lensaudit.finders.running import channels_last
from lensaudit.kept import Piece, TensorsForm
from lensaudit.training.batches import Batches
from lensaudit.training.loop import SECONDS_BETWEEN_CHECKPOINTS
from lensaudit.training.prepared import Advance, PreparedSet, Rows, decoded

if TYPE_CHECKING:
    from sklearn.mixture import BayesianGaussianMixture

_NAME = "embeddings"
_BATCH = 8  # quickest of those tried for 101 pixels on a CPU core


@dataclass(frozen=True)
class Posed:
    """What is embedded: `rows` of a prepared set, as they lie or in all eight orientations."""

    prepared: PreparedSet
    rows: Rows
    turned: bool = False

    @property
    def poses(self) -> int:
        """Orientations of each image."""
        return DIHEDRAL if self.turned else 1


def embeddings(
    module: CaeBgm, posed: Posed, store: Path | None = None, advance: Advance | None = None
) -> NDArray[np.float32]:
    """Embeddings (m, poses, features) of images; orientation 0 is the image as it lies.

    Parameters
    ----------
    module
        In evaluation mode; only denoiser and encoder matter.
    posed
        Which images, and in which orientations.
    store
        File that keeps what is done; one of other weights or images is written anew.
    """
    kept = None if store is None else Piece(store, TensorsForm(), _identity(module, posed))
    found = ((kept and kept.load()) or {}).get(_NAME, np.empty((0, 0, 0), np.float32))
    last = time.monotonic()
    for part in _parts(module, posed, len(found)):
        found = np.concatenate([found, part]) if len(found) else part
        if kept is not None and time.monotonic() - last >= SECONDS_BETWEEN_CHECKPOINTS:
            kept.write({_NAME: found})
            last = time.monotonic()
        if advance is not None:
            advance(len(found), len(posed.rows))
    if kept is not None:
        kept.write({_NAME: found})
    return found


@torch.inference_mode()
def embedded(module: CaeBgm, images: torch.Tensor) -> NDArray[np.float32]:
    """Embeddings (n, features) of prepared images (n, bands, size, size)."""
    device = next(module.parameters()).device
    images = channels_last(images.to(device))
    return module.embedding(images).float().cpu().numpy()


def network_hash(module: CaeBgm) -> str:
    """SHA-256 of the weights an embedding depends on, and of how it is taken."""
    return weights_hash(torch.nn.Sequential(module.denoiser, module.encoder)) + ("-pose-free" * module.pose_free)


def _parts(module: CaeBgm, posed: Posed, first: int) -> Iterator[NDArray[np.float32]]:
    for batch in Batches(posed.prepared, posed.rows[first:], _BATCH):
        images = decoded(batch.codes, batch.scales)
        turned = [embedded(module, dihedral(images, which)) for which in range(posed.poses)]
        yield np.stack(turned, axis=1)


def _identity(module: CaeBgm, posed: Posed) -> dict[str, Any]:
    return {
        "network": network_hash(module),
        "images": posed.prepared.folder.name,
        "rows": [len(posed.rows), int(np.sum(posed.rows * np.arange(1, len(posed.rows) + 1)))],
        "poses": posed.poses,
    }


MOST_ITERATIONS = 1000
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Fitted:
    """How a fit ended: iterations, and whether they converged."""

    iterations: int
    converged: bool


def fit_mixture(head: MixtureHead, embeddings: ArrayLike, seed: int) -> Fitted:
    """Fit as many Gaussians as `head` has clusters to embeddings (n, features), and fold them into it.

    scikit-learn's defaults: full covariances, a Dirichlet process, k-means to begin with (Cheng et al. 2020 name none
    other). It may leave clusters without an image.

    Raises
    ------
    DataError
        There are fewer images than clusters, or they all have one embedding.
    """
    points = np.asarray(embeddings, dtype=np.float64)
    clusters = len(head.constants)
    if len(points) < clusters:
        raise DataError(f"{len(points)} images cannot make {clusters} clusters; give more images, or fewer --embedding")
    if not (np.isfinite(points).all() and points.std(axis=0).max() > _LEAST_SPREAD):
        raise DataError(
            "the embeddings of all images are the same: the autoencoder has not learnt to tell them apart; give more "
            "--epochs, or another --seed"
        )
    mixture = sklearn_mixture(points, clusters, seed)
    fold(head, mixture)
    return Fitted(int(mixture.n_iter_), bool(mixture.converged_))


def sklearn_mixture(points: NDArray[np.float64], clusters: int, seed: int) -> BayesianGaussianMixture:
    """The fitted mixture; ``converged_`` is False where it has not converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    mixture = BayesianGaussianMixture(n_components=clusters, max_iter=MOST_ITERATIONS, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points)


def fold(head: MixtureHead, mixture: BayesianGaussianMixture) -> None:
    """Give `head` the responsibilities of ``mixture.predict_proba``.

    Beside the quadratic form, a cluster's log-density has the log-determinant of its factor, the expectation of
    the Wishart posterior, and the expected log-weight of the Dirichlet process (Bishop 2006, Equations 10.64–10.66).
    """
    features = mixture.means_.shape[1]
    freedom = mixture.degrees_of_freedom_
    log_det = np.log(np.diagonal(mixture.precisions_cholesky_, axis1=1, axis2=2)).sum(1)
    expected = features * np.log(2.0) + digamma(0.5 * (freedom - np.arange(features)[:, None])).sum(0)
    of_wishart = 0.5 * (expected - features / mixture.mean_precision_ - features * np.log(freedom))
    first, second = mixture.weight_concentration_
    stick, rest = digamma(first) - digamma(first + second), digamma(second) - digamma(first + second)
    log_weights = stick + np.concatenate([[0.0], np.cumsum(rest)[:-1]])
    with torch.no_grad():
        head.means.copy_(torch.from_numpy(mixture.means_))
        head.factors.copy_(torch.from_numpy(mixture.precisions_cholesky_))
        head.constants.copy_(torch.from_numpy(log_det + of_wishart + log_weights))


@torch.inference_mode()
def responsibilities(head: MixtureHead, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Posterior of each cluster (n, K) of embeddings (n, features)."""
    return head.log_responsibilities(torch.from_numpy(np.ascontiguousarray(embeddings))).exp().numpy()


@torch.inference_mode()
def logits(head: MixtureHead, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-odds of a lens (n,) of embeddings (n, features), by the marks if the head goes by them."""
    answer = head(torch.from_numpy(np.ascontiguousarray(embeddings))).double().numpy()
    return answer[:, 1] - answer[:, 0] if head.outputs == 2 else answer[:, 0]


def clusters_hash(module: CaeBgm) -> str:
    """SHA-256 of what decides which cluster an image is in: network and mixture, not what the clusters mean."""
    digest = hashlib.sha256(network_hash(module).encode())
    for name in ("means", "factors", "constants"):
        digest.update(getattr(module.head, name).cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
