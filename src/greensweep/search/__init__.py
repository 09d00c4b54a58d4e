"""Search: draw trials, judge them while they run, keep to a budget, go on after a death."""
