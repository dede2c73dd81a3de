"""Processor kinds: one module a kind, each turning the views of its inputs into a query."""
