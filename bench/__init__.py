"""Measure Towpath beside what its users would have without it; ratios within one run, medians."""
