"""The gateway: answers predictions over HTTP from pinned versions, and predicts whole files.

It serves what a router snapshot names (a version, a digest, a folder) and never asks a registry. One process, one event
loop:

- `server` starts and drains it; `options` says where it listens and its limits;
- `connection`, `joined_writes` and `body_reading` guard what is read from a socket;
- `gateway` routes and limits, `model_table` is what is served at one moment, `served_model` one version in it;
- `inference_v2` (with `infer_tensors`, `binary_tensors`) and `invocations` (with `csv_rows`) speak the two protocols;
- `json_body`, `nesting`, `columns` and `input_plan` turn raw values into tensors, and say which value is wrong;
- `snapshot_watch` follows the snapshot and swaps versions; `measurements` counts, `exposition` shows the counts.

`predict` (with `file_readers`, `file_writers`) is for files and never part of the gateway's process, which imports no
registry, no data-frame library and no training framework.
"""
