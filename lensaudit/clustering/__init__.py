"""Finding lenses without labels: autoencoder, mixture, and a person who looks at the clusters (Cheng et al. 2020)."""

from lensaudit.clustering.cut import passes_cut
from lensaudit.clustering.marks import MARKS_FILE, Marks, read_marks
from lensaudit.clustering.measure import Extras
from lensaudit.clustering.mixture import clusters_hash, fit_mixture
from lensaudit.clustering.options import ClusterOptions
from lensaudit.clustering.ratios import RATIOS, AtRatio, at_ratios
from lensaudit.clustering.run import ClusterData, Clustered, ClusterPlace, cluster
from lensaudit.clustering.splitting import Splitting, splitting_of
from lensaudit.clustering.sweep import Sweep, sweep_embedding
from lensaudit.clustering.table import Cluster, Share, clusters_of, known_fractions, lenses_in_rich_clusters

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
    "Share",
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
