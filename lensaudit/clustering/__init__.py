"""Finding lenses without labels: autoencoder, mixture, and a person who looks at the clusters (Cheng et al. 2020)."""

from lensaudit.clustering.embed import clusters_hash, fit_mixture
from lensaudit.clustering.examinations import RATIOS, AtRatio, Splitting, at_ratios, splitting_of
from lensaudit.clustering.network import ClusterOptions
from lensaudit.clustering.outputs import Extras, passes_cut
from lensaudit.clustering.page import (
    MARKS_FILE,
    Cluster,
    Marks,
    clusters_of,
    known_fractions,
    lenses_in_rich_clusters,
    read_marks,
)
from lensaudit.clustering.run import ClusterData, Clustered, ClusterPlace, cluster
from lensaudit.clustering.sweep import Sweep, sweep_embedding

__all__ = [
    "MARKS_FILE",
    "RATIOS",
    "AtRatio",
    "Cluster",
    "ClusterData",
    "ClusterOptions",
    "ClusterPlace",
    "Clustered",
    "Extras",
    "Marks",
    "Splitting",
    "Sweep",
    "at_ratios",
    "cluster",
    "clusters_hash",
    "clusters_of",
    "fit_mixture",
    "known_fractions",
    "lenses_in_rich_clusters",
    "passes_cut",
    "read_marks",
    "splitting_of",
    "sweep_embedding",
]
