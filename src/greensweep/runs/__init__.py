"""One run of ours: trained once, with repeats, or answered from a recorded table."""
