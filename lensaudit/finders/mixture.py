"""A Gaussian mixture as a layer: from an embedding to the probability of a lens, Cheng et al. 2020, Equation 7."""

from __future__ import annotations

import torch
from torch import fx, nn

SUREST = 1e-6
"""How near to 0 and 1 a cluster's lens probability counts, so that the log-odds of an image stay finite."""


class MixtureHead(nn.Module):
    """Embedding (n, features) → logarithms of P_non and P_len (n, 2), or with one output their difference (n, 1).

    P_len = Σ_k P_len^k r_k with r_k the posterior responsibility of cluster k, and P_non likewise with 1 − P_len^k.
    ln r_k = c_k − |(x − m_k) L_k|² / 2 up to a term that all clusters share. All of it is in float64, as scikit-learn
    fits it.

    Attributes
    ----------
    means, factors, constants
        m (K, features), L (K, features, features), the Cholesky factors of the precisions, and c (K,).
    known
        Lens probability of each cluster (K,) by the share of lenses among its training images; 0.5 without labels.
    marks
        The same by a person's 0, 0.5 or 1 (K,); 0.5 where nobody has marked.
    marked
        Whether `marks` decides, not `known`.
    """

    means: torch.Tensor
    factors: torch.Tensor
    constants: torch.Tensor
    known: torch.Tensor
    marks: torch.Tensor

    def __init__(self, components: int, features: int, outputs: int = 1, marked: bool = False) -> None:
        super().__init__()
        self.outputs, self.marked = outputs, marked
        shapes = {
            "means": (components, features),
            "factors": (components, features, features),
            "constants": (components,),
            "known": (components,),
            "marks": (components,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.empty(shape, dtype=torch.float64))

    def reset_parameters(self) -> None:
        """Begin with equal clusters that say nothing of lenses; draws no random number."""
        self.means.zero_()
        self.factors.copy_(torch.eye(self.factors.shape[1], dtype=self.factors.dtype))
        self.constants.zero_()
        self.known.fill_(0.5)
        self.marks.fill_(0.5)

    def going_by(self, marked: bool) -> MixtureHead:
        """A copy that goes by the marks, or by the known fractions."""
        own = MixtureHead(len(self.constants), self.means.shape[1], self.outputs, marked)
        own.load_state_dict(self.state_dict())
        return own

    def log_responsibilities(self, embedding: torch.Tensor) -> torch.Tensor:
        """Logarithm of the posterior of each cluster (n, K), float64."""
        from_centres = embedding.to(self.means.dtype)[:, None] - self.means
        whitened = torch.einsum("nkd,kde->nke", from_centres, self.factors)
        return torch.log_softmax(self.constants - 0.5 * whitened.square().sum(-1), dim=1)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Logarithms of P_non and P_len, or their difference."""
        shares = self.log_responsibilities(embedding)
        both = log_classes(shares, self.marks if self.marked else self.known)
        answer = both if self.outputs == 2 else both[:, 1:] - both[:, :1]
        return answer.to(embedding.dtype)


@fx.wrap  # one call in a trace, which would otherwise hang constants of its own on the module
def log_classes(shares: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
    """Logarithms of P_non and P_len (n, 2) from those of the responsibilities (n, K) and lens probabilities (K,)."""
    lens = lens.clamp(SUREST, 1 - SUREST)
    return torch.stack([(shares + log).logsumexp(1) for log in (torch.log1p(-lens), lens.log())], dim=1)
