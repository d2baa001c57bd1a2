"""The pages of results/: their index, and all of them made anew."""
