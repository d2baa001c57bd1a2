"""Runs mirrored to Weights & Biases."""
