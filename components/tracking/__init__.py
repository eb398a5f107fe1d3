"""Runs in MLflow: a parent for each run of the pipeline, a child for each training, metrics live and in batches.

- `connection.connect`: a client of a server or of ``sqlite:///``, with telemetry off and errors as sentences; the
  registry is handed the same connection.
- `tracker.Tracker`: start, tag, link, log and finish runs.
- `stream.follow`: log a live progress file while a training runs; `Tracker.replay` logs a stored one.

Imports no framework: MLflow's own adapters load lazily and are never touched. Importing MLflow costs a second or two,
so import from here only where a run is about to start.
"""
