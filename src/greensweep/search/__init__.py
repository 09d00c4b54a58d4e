"""Search: draw trials, prune them while they run, keep to a budget, resume after a death.

A worker's `loop` reserves trials from the `trial_queue`: a sampler (`samplers/`, or Optuna's) draws
a point of the `space`, `budget` and `cost_model` say whether it can be afforded, and `recovery`
takes back what died. A `trial` runs under its `monitor`, which ends it by its `limits` or by
`pruning`; what it came to stays in its `records`, in the `storage` and its folder.
What is shown meanwhile is `progress`; when no more are to run (`stopping`), `cost` adds up, in
`sentences`. `spec` holds what is asked.
"""
