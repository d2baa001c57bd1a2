"""Trained networks as data: a folder a game, each a run with its best checkpoint (see README.md)."""
