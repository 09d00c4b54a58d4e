"""What a carbon statement cites, as BibTeX."""

from collections.abc import Callable

import greensweep
from greensweep.analysis.statement import Statement

# Of what is always cited, and of what was used, by its name in `Statement.used`.
_ALWAYS = ("greensweep", "yarally2023")
_ENTRIES = {
    "greensweep": r"""@software{greensweep,
  author = {{The Greensweep developers}},
  title = {Greensweep: energy as a metric of equal rank to accuracy},
  year = {2026},
  note = {Version VERSION}
}""",
    "yarally2023": r"""@inproceedings{yarally2023,
  author = {Yarally, Tim and Cruz, Lu{\'i}s and Feitosa, Daniel and Sallou, June and van
    Deursen, Arie},
  title = {Uncovering Energy-Efficient Practices in Deep Learning Training: Preliminary
    Steps Towards {Green} {AI}},
  booktitle = {IEEE/ACM 2nd International Conference on AI Engineering: Software
    Engineering for AI (CAIN)},
  year = {2023},
  eprint = {2303.13972},
  archiveprefix = {arXiv}
}""",
    "codecarbon": r"""@software{codecarbon,
  author = {Courty, Benoit and Schmidt, Victor and Luccioni, Sasha and {The CodeCarbon
    contributors}},
  title = {{CodeCarbon}: Estimate and track carbon emissions from computing},
  year = {2026},
  doi = {10.5281/zenodo.4658424},
  note = {Version VERSION}
}""",
    "carbontracker": r"""@misc{carbontracker,
  author = {Anthony, Lasse F. Wolff and Kanding, Benjamin and Selvan, Raghavendra},
  title = {Carbontracker: Tracking and Predicting the Carbon Footprint of Training Deep
    Learning Models},
  year = {2020},
  eprint = {2007.03051},
  archiveprefix = {arXiv},
  howpublished = {ICML Workshop on Challenges in Deploying and Monitoring Machine Learning
    Systems},
  note = {Version VERSION}
}""",
    "torch": r"""@inproceedings{torch,
  author = {Paszke, Adam and Gross, Sam and Massa, Francisco and Lerer, Adam and Bradbury,
    James and others},
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32},
  year = {2019},
  note = {Version VERSION}
}""",
    "optuna": r"""@inproceedings{optuna,
  author = {Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and
    Koyama, Masanori},
  title = {Optuna: A Next-generation Hyperparameter Optimization Framework},
  booktitle = {Proceedings of the 25th ACM SIGKDD International Conference on Knowledge
    Discovery and Data Mining},
  year = {2019},
  doi = {10.1145/3292500.3330701},
  note = {Version VERSION}
}""",
    "hydra": r"""@software{hydra,
  author = {Yadan, Omry},
  title = {Hydra: A framework for elegantly configuring complex applications},
  year = {2019},
  url = {https://github.com/facebookresearch/hydra},
  note = {Version VERSION}
}""",
    "mlflow": r"""@article{mlflow,
  author = {Zaharia, Matei and Chen, Andrew and Davidson, Aaron and Ghodsi, Ali and Hong,
    Sue Ann and others},
  title = {Accelerating the Machine Learning Lifecycle with {MLflow}},
  journal = {IEEE Data Engineering Bulletin},
  volume = {41},
  number = {4},
  pages = {39--45},
  year = {2018},
  note = {Version VERSION}
}""",
}  # fmt: skip
# Packages whose version a reference has, where they have another name.
_PACKAGES = {"hydra": "hydra-core", "mlflow": "mlflow-skinny"}
_NOTE = ",\n  note = {Version VERSION}"


def citation_keys(statement: Statement) -> list[str]:
    """Return the keys of what a statement cites."""
    return [key for key in _ENTRIES if key in _ALWAYS or key in statement.used]


def bibtex(statement: Statement, escape: Callable[[str], str]) -> str:
    """Return what a statement cites as BibTeX, with the versions that the runs had.

    Args:
        escape: makes a text one that LaTeX sets.
    """
    versions = {"greensweep": [greensweep.__version__], **statement.versions}
    entries = []
    for key in citation_keys(statement):
        known = versions.get(_PACKAGES.get(key, key), ())
        note = _NOTE.replace("VERSION", escape(" and ".join(known))) if known else ""
        entries.append(_ENTRIES[key].replace(_NOTE, note))
    return "\n\n".join(entries) + "\n"
