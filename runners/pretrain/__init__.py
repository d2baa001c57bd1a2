"""Training a backbone on data first: `keel pretrain`."""
