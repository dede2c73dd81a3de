"""tipline: threat-intelligence feeds in, defences out, nothing lost."""

__version__ = "0.1.0"
