"""The prediction log: what was asked, what was answered, by which version; sampled, bounded, rotated Parquet.

A file is closed by rows, bytes, age or at midnight UTC and appears whole: ``<folder>/<model>/date=2026-01-31/
20260131T101500.123456Z-v7-w0-4711-1.parquet`` (when its first row was answered, the version, the worker, the process
that wrote it, a count). ``polars.scan_parquet(folder / model)`` reads all of them, with ``date`` as a column; versions
whose inputs differ need ``missing_columns="insert", extra_columns="ignore"``. One row is one row of a request:

=================  =====================  ===========================================================================
column             type                   what
=================  =====================  ===========================================================================
(each raw input)   double, int64, bool,   under its own name, as the product got it; a missing value is null.
                   string                 An input that is called like a column below is `input_column(name)`,
                                          ``input:<name>``. An image is one list<double> (its type) of fixed length,
                                          row by row, under the tensor's name.
prediction         string, int64, bool    the label, or the number in the target's units; null when the version
                   or double              failed to answer
probabilities      list<float>            of fixed length, in the order of the signature's classes; null for a
                                          regression or when the version failed to answer
time               timestamp[us, UTC]     when it was answered
request_id         string                 ``x-request-id``; rows of one request share it
row                int32                  the row's place in its request
user               uint64                 a hash of whoever asks (`split.user_key`), never the name itself
version            int32                  of the model
digest             string                 of the product
role               string                 ``stable``, ``canary``, ``shadow`` or ``previous``; empty where pinned
rev                int64                  the slot's revision the request was routed by
latency_ms         float                  of the request, not of the row
status             int16                  the HTTP status; a shadow's or failed canary's own, which nobody saw
date               date                   from the folder's name: the day (UTC) of the file's rows
=================  =====================  ===========================================================================

The file's metadata has a key ``towpath`` with JSON: the log's schema number, model, version, digest, task and classes.
A request is in the log or not by its id, so a stable answer and the shadow's answer to it can be joined.

Each worker has a process of its own that writes (`child`, with `writer`, `schema`, `arrow_columns` and `files`): Arrow
would hold the gateway's interpreter for milliseconds at a time. A thread of the worker (`feeder`, `process`) hands over
what was answered (`frames`) through a pipe, four times a second; so a worker that is killed loses the rows of a quarter
of a second, and what it handed over is still written.
"""

from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.log import PredictionLog
from components.serving.prediction_log.options import LogOptions, check_log_options
from components.serving.prediction_log.schema import input_column

__all__ = ["LogCounts", "LogOptions", "PredictionLog", "check_log_options", "input_column"]
