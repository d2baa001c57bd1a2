"""Board games: their rules, compiled, for search and as worlds."""
