"""Search for settings: `keel tune`."""
