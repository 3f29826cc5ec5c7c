"""Probes of a finder outside Python: cutouts go out under names that tell nothing, scores come back and are audited.

`export_cutouts` writes what the finder is given and, apart from it, the key; `import_scores` puts the scores in place
of a finder's answers, and everything after that is the audit of `lensaudit.probes.run_audit`.
"""

from lensaudit.probes.outside.export import Exported, export_cutouts
from lensaudit.probes.outside.importing import OutsideFinder, import_scores
from lensaudit.probes.outside.plan import ExportPlan, plan_export

__all__ = ["ExportPlan", "Exported", "OutsideFinder", "export_cutouts", "import_scores", "plan_export"]
