"""Training by self-play: `keel train alphazero`."""
