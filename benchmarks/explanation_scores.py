"""The page docs/explanation-scores.md from folders that ``lensaudit judge`` wrote.

``python benchmarks/explanation_scores.py runs/judged-ou66 runs/judged-ou200 > docs/explanation-scores.md``
"""

from __future__ import annotations

import argparse
from pathlib import Path

HEAD = """# Scores of explanations: do they show where the finder looks?

Methods of explanation against scenes whose lensed light is known, for the shipped OU-66 and the published OU-200 of
Wilde et al. 2022. `python benchmarks/explanation_scores.py` writes this page from the folders of `lensaudit judge`; the
sets are

```sh
lensaudit simulate euclid --n 4000 --seed 2 --out runs/test
lensaudit simulate euclid --population compound-arcs --n 60 --seed 5 --out runs/compound-arcs
lensaudit simulate euclid --population compound-rings --n 60 --seed 5 --out runs/compound-rings
```

Of each kind of scene the first images are judged; of compound lenses those first whose two sources are both seen on
the finder's grid. What each score is:

"""


def main() -> None:
    from lensaudit.explaining import SCORES, Judgement
    from lensaudit.explaining.judging.page import markdown

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="written by lensaudit judge")
    judgements = [Judgement.read(folder) for folder in parser.parse_args().folders]
    scores = "\n".join(
        f"* **{score.name}**: {score.meaning}{f' {score.paper}.' if score.paper else ''}" for score in SCORES.values()
    )
    print(f"{HEAD}{scores}\n\n{markdown(judgements)}", end="")


if __name__ == "__main__":
    main()
