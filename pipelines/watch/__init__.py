"""Watching an environment's traffic, step by step; without Prefect, which `pipelines.monitoring` adds."""
