"""What a training of kind `tfx` leaves beside its product, as JSON under ``native/tfx/``. Knows nothing of TFX.

Numbers that do not exist (the mean of a column with no value) are None: JSON has no NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.types.training import Scalar

TFX_KIND = "tfx"
TFX_DIR = "native/tfx"
"""Relative to the train stage's output folder."""
STATISTICS_FILE = "statistics.json"
ANOMALIES_FILE = "anomalies.json"
ANALYSIS_FILE = "analysis.json"
LINEAGE_FILE = "lineage.json"
SCHEMA_FILE = "schema.pbtxt"
METADATA_FILE = "metadata.sqlite"

RATE_METRICS = ("auc", "auc_ovr", "accuracy")
"""Metrics of an analysis that lie between 0 and 1; higher is better, for all others lower."""


@dataclass(frozen=True)
class Bucket:
    """One bar of a histogram: how many values lie from `low` to `high`."""

    low: float
    high: float
    count: float


@dataclass(frozen=True)
class ValueCount:
    """How often a value of a string column occurs."""

    value: str
    count: float


@dataclass(frozen=True)
class FeatureStatistics:
    """What TFDV counted in one column of one split; what does not apply to its type is None or empty."""

    name: str
    type: str
    """TFDV's own word: INT, FLOAT, STRING or BYTES."""
    rows: int
    """Rows that have a value."""
    missing: int
    zeros: int | None = None
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    median: float | None = None
    max: float | None = None
    unique: int | None = None
    top_values: tuple[ValueCount, ...] = ()
    histogram: tuple[Bucket, ...] = ()


@dataclass(frozen=True)
class SplitStatistics:
    """The statistics of one split."""

    split: str
    """``train`` or ``validation``."""
    rows: int
    features: tuple[FeatureStatistics, ...]


@dataclass(frozen=True)
class DataStatistics:
    """What StatisticsGen found (`STATISTICS_FILE`)."""

    splits: tuple[SplitStatistics, ...]


@dataclass(frozen=True)
class Anomaly:
    """One place where a split does not meet the schema."""

    split: str
    feature: str
    """Empty when the whole table is meant."""
    reason: str
    """TFDV's short description."""
    description: str


@dataclass(frozen=True)
class Anomalies:
    """What ExampleValidator found (`ANOMALIES_FILE`); none when the data meets the schema."""

    anomalies: tuple[Anomaly, ...]


@dataclass(frozen=True)
class AnalysisSlice:
    """The metrics of one slice; column and value are empty for all rows together."""

    column: str
    value: str
    rows: int
    metrics: Mapping[str, float | None]
    """None where a metric cannot be computed, as AUC of a slice that has one class."""


@dataclass(frozen=True)
class ThresholdResult:
    """One bound on one metric of one slice, and whether it holds."""

    metric: str
    column: str
    """Empty, as `value`, for all rows together."""
    value: str
    kind: str
    """``at least`` or ``at most``."""
    bound: float
    found: float | None
    passed: bool


@dataclass(frozen=True)
class ModelAnalysis:
    """What the Evaluator found (`ANALYSIS_FILE`) for one product, on the validation split."""

    product_digest: str
    dataset_digest: str
    metrics: tuple[str, ...]
    """The metrics' names in the order in which they were asked for."""
    slices: tuple[AnalysisSlice, ...]
    """All rows together first."""
    thresholds: tuple[ThresholdResult, ...]
    blessed: bool
    """The Evaluator's own verdict: every threshold holds."""


@dataclass(frozen=True)
class LineageArtifact:
    """One artifact of ML Metadata, without times and paths of the machine it was made on."""

    id: int
    type: str
    name: str
    properties: Mapping[str, Scalar]


@dataclass(frozen=True)
class LineageExecution:
    """One run of a component, with the artifacts it read and wrote."""

    id: int
    type: str
    name: str
    """The component's id."""
    state: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Lineage:
    """What ML Metadata recorded of the training (`LINEAGE_FILE`)."""

    artifacts: tuple[LineageArtifact, ...]
    executions: tuple[LineageExecution, ...]


@dataclass(frozen=True)
class SharedBar:
    """One bar of two histograms with the same bars: the share of values that lie in it, on both sides."""

    label: str
    training: float
    serving: float


@dataclass(frozen=True)
class FeatureSkew:
    """How far a column's distribution in serving is from training's."""

    feature: str
    measure: str
    """``L-infinity`` for texts and truths, ``Jensen-Shannon`` for numbers."""
    distance: float | None
    """None where one side has no value at all, which is skew as well."""
    bound: float
    passed: bool
    training_missing: float
    """The share of rows without a value."""
    serving_missing: float
    bars: tuple[SharedBar, ...] = ()
    """To look at; the distance is TFDV's own."""


@dataclass(frozen=True)
class ExactFeatureSkew:
    """How many rows with one id differ in one column between training and serving."""

    feature: str
    base_only: int
    """Rows with a value in training only."""
    test_only: int
    """Rows with a value in serving only."""
    mismatched: int
    """Rows with two different values."""
    matched: int

    @property
    def differing(self) -> int:
        """Rows that are not the same on both sides."""
        return self.base_only + self.test_only + self.mismatched


@dataclass(frozen=True)
class ExactSkew:
    """The rows of training and serving that have the same id, compared value by value."""

    ids_compared: int
    training_only: int
    """Ids of training that nobody asked with."""
    serving_only: int
    """Ids that were served and are no row of training; usual, as most requests are about new rows."""
    features: tuple[ExactFeatureSkew, ...]
    """Columns that differ in at least one row."""


@dataclass(frozen=True)
class SkewTask:
    """What the comparison in TFX's environment is told; both tables have the same columns in the same types."""

    training: str
    """A Parquet file with one row per training row."""
    serving: str
    """A Parquet file with one row per served row."""
    columns: tuple[str, ...]
    id_column: str
    """A column of both that says which rows are the same; null where a row has no id."""
    l_infinity: float
    """Bound on the distance of texts and truths, and on the difference of the shares of missing values."""
    jensen_shannon: float
    """Bound on the distance of numbers."""
    output: str
    """Where the `SkewReport` goes."""


@dataclass(frozen=True)
class SkewReport:
    """Training rows against served rows."""

    training_rows: int
    serving_rows: int
    features: tuple[FeatureSkew, ...]
    """In the order of the inputs."""
    exact: ExactSkew
    passed: bool
    """No column's distribution is beyond its bound, and no row of one id differs."""
