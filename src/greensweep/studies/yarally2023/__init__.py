"""The study of Yarally et al. (CAIN 2023), which `params.yaml` and `dvc.yaml` run.

Here are its sizes, its cells and the checks before anything is trained. What it uses and others
can, too, stands where it belongs:

- `conf/`: its two questions (`experiment/rq1_strategies`, `rq2_layers`, with what they set of the
  sweeper in `search/experiment/`), whose choices (`variant/`), its spaces (`space/paper*`), the
  columns of its published tables (`columns/paper_rq*`), and sizes for any sweep (`size/`);
- its networks, `greensweep.models.paper`, and its Bayesian search,
  `greensweep.search.samplers.paper_gp`.
"""
