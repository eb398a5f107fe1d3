"""What happens, in which order: flows, command line, configuration.

The composition root, and the only place that imports Prefect.
"""
