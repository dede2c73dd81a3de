"""MineMeld's configuration as tipline's."""
