"""The gateway: answers predictions over HTTP from pinned versions, and predicts whole files.

It serves what a router snapshot names (versions, digests, folders, and which share of the users each gets) and never
asks a registry nor a ledger. A process is one event loop; several can share a port:

- `server` starts and drains it; `options` says where it listens and its limits;
- `connection`, `joined_writes` and `body_reading` guard what is read from a socket;
- `gateway` answers, `admission` and `unknown_paths` refuse, `information` tells; `model_table` is what is served at
  one moment;
- `asked` is one request and what each version made of it, `served_model` one version in memory, `traffic` whose turn it
  is: `split` draws the canary's users, `bulkhead` keeps what may hang apart, `mirroring` asks the shadow, `labels`
  takes what would have been right;
- `inference_v2` (with `infer_tensors`, `binary_tensors`), `invocations` (with `csv_rows`) and `tensorflow_rest` (with
  `tensorflow_model`) speak the three protocols, each of which is a `protocol` to the rest;
- `json_body`, `json_rows`, `nesting`, `columns` and `input_plan` turn raw values into tensors, and say which value is
  wrong;
- `snapshot_watch` follows the snapshot (`router_snapshot`), has versions loaded (`version_cache`) and moves traffic;
- `judging` judges a rollout while it runs, on the `board` that all workers share; `pulse` keeps that up to date;
- `measurements` counts, `exposition` and `rollout_metrics` show the counts; `prediction_log` has what was answered
  logged by a process of its own, `low_priority` is what such processes have, `page` shows how a release stands.

`predict` (with `file_readers`, `file_writers`) is for files and never part of the gateway's process, which imports no
registry, no data-frame library and no training framework.
"""
