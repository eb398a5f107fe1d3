"""Generated tables for tests and for the bench: one seed gives the same rows; any number of them in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

CHUNK_ROWS = 100_000
TAXI_COLUMNS = (
    "pickup_community_area",
    "fare",
    "trip_start_month",
    "trip_start_hour",
    "trip_start_day",
    "trip_start_timestamp",
    "pickup_latitude",
    "pickup_longitude",
    "dropoff_latitude",
    "dropoff_longitude",
    "trip_miles",
    "pickup_census_tract",
    "dropoff_census_tract",
    "payment_type",
    "company",
    "trip_seconds",
    "dropoff_community_area",
    "tips",
)
_PAYMENTS = np.array(["Cash", "Credit Card", "No Charge", "Unknown", "Dispute", "Pcard"])
_PAYMENT_SHARES = (0.6585, 0.333, 0.0055, 0.002, 0.0005, 0.0005)
_COMPANIES = np.array([f"{name} {kind}" for kind in ("Cab", "Taxi, Inc.") for name in ("Amber", "Birch", "Coral")])


def write_taxi_shaped(path: Path, rows: int, seed: int = 0) -> None:
    """Write a table with the columns, types and gaps of the Chicago taxi table, as its ending says.

    About 22 % of the tips exceed a fifth of the fare, and which ones can be learned from the other columns.
    """
    _write(path, rows, lambda n, rng: _taxi(n, rng), seed)


def write_wide(path: Path, rows: int, columns: int = 20, seed: int = 0) -> None:
    """Write `columns` - 1 numbers ``x_00`` … and an int64 ``label`` (0 or 1) that a linear model can learn."""
    _write(path, rows, lambda n, rng: _wide(n, columns, rng), seed)


def _write(path: Path, rows: int, make: Callable[[int, np.random.Generator], pl.DataFrame], seed: int) -> None:
    tables = (frame.to_arrow(compat_level=pl.CompatLevel.oldest()) for frame in _chunks(rows, make, seed))
    first = next(tables)
    if path.suffix == ".jsonl":
        with path.open("wb") as file:
            for frame in _chunks(rows, make, seed):
                frame.write_ndjson(file)
        return
    kind = pq.ParquetWriter if path.suffix == ".parquet" else pacsv.CSVWriter
    with kind(str(path), first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _chunks(rows: int, make: Callable[[int, np.random.Generator], pl.DataFrame], seed: int) -> Iterator[pl.DataFrame]:
    for number, start in enumerate(range(0, max(rows, 1), CHUNK_ROWS)):
        yield make(min(CHUNK_ROWS, rows - start), np.random.default_rng([seed, number]))


def _taxi(rows: int, rng: np.random.Generator) -> pl.DataFrame:
    miles = np.where(rng.random(rows) < 0.25, 0.0, rng.gamma(1.2, 2.4, rows)).round(1)
    fare = (3.25 + 1.8 * miles + rng.gamma(2.0, 2.2, rows)).round(2)
    payment = rng.choice(_PAYMENTS, rows, p=_PAYMENT_SHARES)
    hour = rng.integers(0, 24, rows)
    generous = 1.4 - 0.5 * (hour < 6) - 0.02 * fare + rng.normal(0, 0.9, rows)
    tipped = (payment == "Credit Card") & (generous > 0.55)
    share = np.where(tipped, rng.uniform(0.205, 0.35, rows), rng.uniform(0.0, 0.19, rows) * (payment == "Credit Card"))
    pickup, dropoff = rng.integers(1, 78, rows), rng.integers(1, 78, rows)
    latitude, longitude = 41.66 + np.arange(78) * 0.0046, -87.91 + (np.arange(78) * 37 % 78) * 0.0044
    start = 1_357_000_200 + rng.integers(0, 140_000, rows) * 900
    frame = pl.DataFrame(
        {
            "pickup_community_area": pickup,
            "fare": fare,
            "trip_start_month": rng.integers(1, 13, rows),
            "trip_start_hour": hour,
            "trip_start_day": rng.integers(1, 8, rows),
            "trip_start_timestamp": start,
            "pickup_latitude": latitude[pickup].round(9),
            "pickup_longitude": longitude[pickup].round(9),
            "dropoff_latitude": latitude[dropoff].round(9),
            "dropoff_longitude": longitude[dropoff].round(9),
            "trip_miles": miles,
            "pickup_census_tract": 17_031_000_000 + pickup * 100,
            "dropoff_census_tract": 17_031_000_000 + dropoff * 100,
            "payment_type": payment,
            "company": rng.choice(_COMPANIES, rows),
            "trip_seconds": (60 * np.ceil(2 + 3 * miles + rng.gamma(2.0, 2.0, rows))).astype(np.int64),
            "dropoff_community_area": dropoff,
            "tips": np.ceil(fare * share * 100) / 100,
        }
    )
    return _with_gaps(frame, rng)


def _with_gaps(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Leave values out where the Chicago table does; both coordinates of a place are missing together."""
    shares = {
        ("pickup_community_area",): 0.0005,
        ("dropoff_latitude", "dropoff_longitude", "dropoff_community_area"): 0.033,
        ("pickup_census_tract",): 0.9995,
        ("dropoff_census_tract",): 0.28,
        ("company",): 0.34,
        ("trip_seconds",): 0.0005,
    }
    for names, share in shares.items():
        there = pl.Series(rng.random(frame.height) >= share)
        frame = frame.with_columns(pl.when(there).then(pl.col(name)).alias(name) for name in names)
    return frame


def _wide(rows: int, columns: int, rng: np.random.Generator) -> pl.DataFrame:
    numbers = rng.normal(size=(rows, columns - 1))
    slope = np.linspace(1.0, -1.0, columns - 1)
    label = (numbers @ slope + rng.normal(0, 0.5, rows) > 0).astype(np.int64)
    return pl.DataFrame({**{f"x_{i:02d}": numbers[:, i] for i in range(columns - 1)}, "label": label})
