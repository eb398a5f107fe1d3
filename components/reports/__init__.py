"""The report of one run for people: one HTML file that needs no network. Renders records, never judges."""
