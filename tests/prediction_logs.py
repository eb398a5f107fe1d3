"""Offering rows to a prediction log, and reading what it wrote."""

import time

import polars as pl

from components.types.release import Role


def offer(log, model, rows, *, request_id="r", role=Role.STABLE, user=7, outputs=True, status=200, rev=3):
    batch = model.plan.from_rows(rows, None)
    answered = model.predict(batch) if outputs else None
    log.offer(model, role, rev, request_id, user, batch, answered, 0.0125, status)


def logged(log, model):
    log.close()
    return pl.scan_parquet(log._options.folder / model).collect()


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
