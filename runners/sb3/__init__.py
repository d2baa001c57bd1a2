"""Stable-Baselines3's agents, trained and compared like Keel's own."""
