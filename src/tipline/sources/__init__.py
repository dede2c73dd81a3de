"""Source kinds: one module a kind, each a fetch, a format and a schedule."""
