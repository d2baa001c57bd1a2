"""Runs side by side: `keel compare`."""
