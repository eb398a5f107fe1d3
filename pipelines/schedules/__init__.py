"""Runs that nobody starts by hand: what they are, in which checkout they work, and who notices when one is missing."""
