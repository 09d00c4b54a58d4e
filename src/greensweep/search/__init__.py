"""Search: draw trials, prune them while they run, keep to a budget, resume after a death."""
