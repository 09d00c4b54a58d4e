"""A training loop of one's own as a recorded run, and the libraries whose loops are known."""
