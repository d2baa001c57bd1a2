"""A person against an agent: `keel play`."""
