"""The configuration: read, checked as a whole, and compared with what runs."""
