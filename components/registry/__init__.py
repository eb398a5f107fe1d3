"""Versions in MLflow's registry: each carries its whole lineage, and is one version however often it is registered.

- `registry.Registry`: register, list, fetch, read the lineage, and project the ledger's slots to aliases.
- `request`: what is registered, and what comes back.
- `product_pyfunc`: the code that travels inside every version, so that MLflow's own tools can load it; no pickle.

Takes an open connection (`components.tracking.connection` makes one). Knows nothing of the ledger: which version
stands where is told to it.
"""
