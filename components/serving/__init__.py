"""The gateway: answers predictions over HTTP from pinned versions, and predicts whole files.

It serves what a router snapshot names (a version, a digest, a folder) and never asks a registry. One process, one event
loop: `server` starts and drains it, `connection` guards what is read from a socket, `gateway` routes and limits,
`inference_v2` and `invocations` speak the two protocols, `input_plan` turns raw values into tensors, `served_model`
holds one version, `snapshot_watch` swaps versions, `measurements` counts. `predict` is for files and is not part of the
gateway's process. Nothing here imports a registry, a data-frame library or a training framework.
"""
