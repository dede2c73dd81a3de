"""Ready-made settings and lists that ship with tipline."""
