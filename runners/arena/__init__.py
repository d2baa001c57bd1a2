"""Players of a board game meet and are rated: `keel arena`."""
