"""Configurations of other programs, turned into tipline's."""
