"""Reports for people: each one HTML file that needs no network. Renders records, never judges."""
