"""Several finders as one: their scores on a t-SNE map, whose cells' lens fractions are the ensemble's (OU-T-SNE)."""

from lensaudit.ensembles.committee import CommitteePlan, committee_of, fit_committee
from lensaudit.ensembles.fit import SEVEN, EnsemblePlan, Fitted, assembled, fit_ensemble, open_members
from lensaudit.ensembles.map_files import map_ensemble
from lensaudit.ensembles.map_picture import Region, read_region

__all__ = [
    "SEVEN",
    "CommitteePlan",
    "EnsemblePlan",
    "Fitted",
    "Region",
    "assembled",
    "committee_of",
    "fit_committee",
    "fit_ensemble",
    "map_ensemble",
    "open_members",
    "read_region",
]
