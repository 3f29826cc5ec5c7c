"""From embeddings to clusters: scikit-learn's Bayesian Gaussian mixture, folded into the finder's last layer."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from lensaudit.clustering.embed import network_hash
from lensaudit.errors import DataError
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.mixture import MixtureHead

if TYPE_CHECKING:
    from sklearn.mixture import BayesianGaussianMixture

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
    """The fitted mixture; that it has not converged is told by its ``converged_``."""
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
