"""The engine: polls sources, evaluates outputs, delivers changes, and accounts for every record."""
