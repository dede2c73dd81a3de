"""The demonstration: the lab, played from end to end on one machine."""
