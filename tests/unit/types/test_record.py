import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.types.dataset import Column, ColumnType, DatasetManifest
from components.types.product import InputSpec, Signature
from components.types.record import canonical_json, dump, load
from components.types.training import Parameter

MANIFEST = DatasetManifest(
    model="taxi",
    digest="a" * 64,
    rows=3,
    columns=(Column("fare", ColumnType.FLOAT64, 1),),
    id_column="row_id",
    label_column="big_tip",
    label_inputs=("tips",),
    source_digest="b" * 64,
)


def test_a_record_survives_the_way_through_json() -> None:
    assert load(DatasetManifest, json.loads(json.dumps(dump(MANIFEST)))) == MANIFEST


def test_classes_keep_their_types() -> None:
    inputs = (InputSpec("a", ColumnType.BOOL, (), False, ("a",)),)
    for classes in ((False, True), (0, 1), ("no", "yes")):
        back = load(Signature, json.loads(json.dumps(dump(Signature("binary", inputs, classes)))))  # type: ignore[arg-type]
        assert back.classes == classes
        assert [type(each) for each in back.classes] == [type(each) for each in classes]


def test_numbers_and_lists_in_parameters_keep_their_types() -> None:
    @dataclass(frozen=True)
    class Holder:
        path: Path | None
        parameters: dict[str, Parameter | None]

    holder = Holder(
        Path("x"), {"epochs": 3, "rate": 0.5, "flag": True, "hidden": (64, 32), "none": None, "name": "relu"}
    )
    back = load(Holder, json.loads(json.dumps(dump(holder))))
    assert back == holder
    assert type(back.parameters["flag"]) is bool
    assert type(back.parameters["epochs"]) is int


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": "three"}, "DatasetManifest.rows: expected int"),
        ({"rows": True}, "DatasetManifest.rows: expected int"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"columns": [{"name": "fare", "type": "float64"}]}, r"columns\[0\]: field 'nulls' is missing"),
        ({"columns": [{"name": "fare", "type": "decimal", "nulls": 0}]}, "decimal"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load(DatasetManifest, {**dump(MANIFEST), **change})


def test_canonical_json_is_one_text_and_refuses_nan() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "ü"]}) == '{"a":[1.5,"ü"],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})
