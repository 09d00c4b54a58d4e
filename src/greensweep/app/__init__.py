"""Hydra in, one call, out: the programs of `greensweep`.

Nothing slow is imported here before a run needs it: `--help` answers without PyTorch.
"""

from greensweep.app.resolvers import register

register()
