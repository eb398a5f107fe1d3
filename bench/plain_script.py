"""The steps of `towpath run breast_cancer` as a person would write them down: one file, one step after the other.

    python bench/plain_script.py FOLDER TRACKING_URI SUITE

Ingest, validate, split and scale, train with scikit-learn, Keras and Lightning, export and check each, evaluate with
bootstrap intervals and plots, log to MLflow, register the winner. Imports nothing of Towpath.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", TF_CPP_MIN_LOG_LEVEL="3", GX_ANALYTICS_ENABLED="false")

FOLDER, TRACKING_URI, SUITE = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
EPOCHS, PATIENCE, HIDDEN, BATCH = 60, 10, (64, 32), 256


def ingest():
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer(as_frame=True)
    table = bunch.frame.rename(columns=lambda name: name.replace(" ", "_")).drop(columns="target")
    table.insert(0, "row_id", range(len(table)))
    table["diagnosis"] = bunch.target.map({0: "malignant", 1: "benign"})
    table.to_parquet(FOLDER / "table.parquet")
    return pd.read_parquet(FOLDER / "table.parquet")


def validate(table):
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("source")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": table})
    )
    described = json.loads(SUITE.read_text())["expectations"]
    suite = gx.ExpectationSuite(name="breast_cancer")
    for each in described:
        suite.add_expectation_configuration(ExpectationConfiguration(type=each["type"], kwargs=each["kwargs"]))
    if not batch.validate(suite).success:
        raise SystemExit("the data do not meet their suite")


def split(table):
    import numpy as np
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    features = table.drop(columns=["row_id", "diagnosis"]).to_numpy(dtype=np.float64, copy=True)
    target = (table["diagnosis"] == "malignant").to_numpy().astype(np.int64)
    train, rest = train_test_split(np.arange(len(table)), test_size=0.3, random_state=1, stratify=target)
    validation, test = train_test_split(rest, test_size=0.5, random_state=1, stratify=target[rest])
    scaler = StandardScaler().fit(features[train])
    scaled = scaler.transform(features).astype(np.float32)
    return {
        name: (scaled[rows], target[rows])
        for name, rows in (("train", train), ("validation", validation), ("test", test))
    }


def train_sklearn(data):
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(*data["train"])
    path = FOLDER / "sklearn.onnx"
    graph = to_onnx(model, data["train"][0][:1], options={id(model): {"zipmap": False}})
    path.write_bytes(graph.SerializeToString())
    return path, model.predict_proba(data["validation"][0])


def train_keras(data):
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(width, "relu") for width in HIDDEN]
    network = keras.Sequential([keras.Input((30,), name="features"), *layers, keras.layers.Dense(2)])
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    network.fit(*data["train"], BATCH, EPOCHS, validation_data=data["validation"], callbacks=[stop], verbose=0)
    network.save(FOLDER / "model.keras")
    path = FOLDER / "keras.onnx"
    network.export(path, format="onnx", verbose=False)
    return path, _softmax(np.asarray(network.predict(data["validation"][0], verbose=0)))


def train_lightning(data):
    import lightning.pytorch as pl
    import torch
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    class Network(pl.LightningModule):
        def __init__(self):
            super().__init__()
            linear = torch.nn.Linear
            self.net = torch.nn.Sequential(
                linear(30, 64), torch.nn.ReLU(), linear(64, 32), torch.nn.ReLU(), linear(32, 2)
            )

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _):
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch, _):
            self.log("val_loss", torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-3)

    pl.seed_everything(1)
    loaders = [
        torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(*map(torch.from_numpy, data[name])), BATCH, shuffle=name == "train"
        )
        for name in ("train", "validation")
    ]
    best = ModelCheckpoint(FOLDER, monitor="val_loss")
    trainer = pl.Trainer(
        max_epochs=EPOCHS, callbacks=[EarlyStopping("val_loss", patience=PATIENCE), best], logger=False,
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    network = Network()
    trainer.fit(network, *loaders)
    network.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    network.eval()
    path = FOLDER / "lightning.onnx"
    example = torch.from_numpy(data["validation"][0])
    torch.onnx.export(
        network.net, (example,), path, dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        input_names=["features"], output_names=["logits"], verbose=False,
    )  # fmt: skip
    with torch.no_grad():
        return path, _softmax(network(example).numpy())


def _softmax(logits):
    import numpy as np

    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def predict(path, features):
    import onnxruntime as ort

    session = ort.InferenceSession(str(path))
    output = session.run(None, {session.get_inputs()[0].name: features})[-1]
    return output if abs(output.sum(axis=1) - 1).max() < 1e-3 else _softmax(output)


def evaluate(name, path, data):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    from scipy.stats import rankdata
    from sklearn import metrics
    from sklearn.calibration import CalibrationDisplay

    measures = {
        "auc": metrics.roc_auc_score,
        "average_precision": metrics.average_precision_score,
        "log_loss": metrics.log_loss,
        "accuracy": lambda y, p: metrics.accuracy_score(y, p > 0.5),
        "f1": lambda y, p: metrics.f1_score(y, p > 0.5),
    }
    random = np.random.default_rng(0)
    found = {}
    for split_name in ("validation", "test"):
        features, target = data[split_name]
        scores = predict(path, features)[:, 1]
        for metric, measure in measures.items():
            found[f"{split_name}_{metric}"] = measure(target, scores)
        rows = random.integers(0, len(target), (1000, len(target)))
        positive, ranks = target[rows], rankdata(scores[rows], axis=1)
        ones = positive.sum(axis=1)
        samples = {
            "auc": ((ranks * positive).sum(axis=1) - ones * (ones + 1) / 2) / (ones * (len(target) - ones)),
            "accuracy": ((scores[rows] > 0.5) == positive).mean(axis=1),
            "log_loss": -np.log(np.where(positive, scores[rows], 1 - scores[rows])).mean(axis=1),
        }
        for metric, values in samples.items():
            low, high = np.quantile(values, [0.025, 0.975])
            found |= {f"{split_name}_{metric}_low": low, f"{split_name}_{metric}_high": high}
    displays = {
        "roc": metrics.RocCurveDisplay, "pr": metrics.PrecisionRecallDisplay,
        "confusion": metrics.ConfusionMatrixDisplay, "calibration": CalibrationDisplay,
    }  # fmt: skip
    for kind, display in displays.items():
        display.from_predictions(target, scores > 0.5 if kind == "confusion" else scores)
        plt.savefig(FOLDER / f"{name}-{kind}.png")
        plt.close()
    return {key: float(value) for key, value in found.items()}


def main():
    table = ingest()
    validate(table)
    data = split(table)
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(TRACKING_URI)
    mlflow.set_experiment("plain-script")
    found = {}
    with mlflow.start_run():
        for name, train in (("sklearn", train_sklearn), ("keras", train_keras), ("lightning", train_lightning)):
            with mlflow.start_run(run_name=name, nested=True):
                path, expected = train(data)
                if np.abs(predict(path, data["validation"][0]) - expected).max() > 1e-4:
                    raise SystemExit(f"{name}: the export differs")
                found[name] = (evaluate(name, path, data), path)
                mlflow.log_metrics(found[name][0])
                for plot in FOLDER.glob(f"{name}-*.png"):
                    mlflow.log_artifact(plot)
        winner = max(found, key=lambda name: found[name][0]["validation_auc"])
        import onnx

        mlflow.onnx.log_model(
            onnx.load(found[winner][1]), name="model", registered_model_name="plain-script",
            pip_requirements=["onnxruntime"],
        )  # fmt: skip
        client = mlflow.MlflowClient()
        version = client.search_model_versions("name='plain-script'")[0].version
        client.set_registered_model_alias("plain-script", "champion", version)
    print(json.dumps({"winner": winner, "test_auc": found[winner][0]["test_auc"]}))


if __name__ == "__main__":
    main()
