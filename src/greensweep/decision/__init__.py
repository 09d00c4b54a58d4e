"""Which configuration to take: the choice between quality and energy, and the words for it."""
