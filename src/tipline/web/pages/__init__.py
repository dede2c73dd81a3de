"""Groups of pages: one module each, with a `router` and perhaps a `NAV`."""
