"""Who plays board games, and how that is drawn."""
