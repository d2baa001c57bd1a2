"""Seeing agents act: `keel watch`."""
