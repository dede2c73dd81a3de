"""Output kinds: one module a kind, each a published set rendered as text or delivered to a far side."""
