"""What a resumed run takes from its beginning, so that '--resume' alone goes on with it."""

import json
from pathlib import Path

import pytest

from edgeface.errors import RunError
from edgeface.train.resuming import begun_with

BEGUN = {"network": "squeezenext_23v5", "build": {"width": 2.0}, "teacher": {"run": "/runs/teacher"}, "seed": 3}


@pytest.mark.parametrize(
    ("changes", "role", "expected"),
    [
        ({}, "student", {"network": "squeezenext_23v5", "width": 2.0, "teacher": Path("/runs/teacher"), "seed": 3}),
        (
            {"network": "mobilefacenet", "build": {}, "teacher": None},
            "student",
            {"network": "mobilefacenet", "teacher": None, "seed": 3},
        ),
        ({"network": "inception_resnet_v1", "build": {}, "teacher": None}, "teacher", {"seed": 3}),
    ],
)
def test_a_resumed_run_goes_on_as_it_began(changes, role, expected, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({**BEGUN, **changes}))
    assert begun_with(tmp_path, role) == expected


def test_no_run_tells_nothing_and_a_damaged_one_is_named(tmp_path):
    assert begun_with(tmp_path, "student") == {}
    (tmp_path / "run.json").write_text('{"network": "squeezenext_23v5"}')
    with pytest.raises(RunError, match=r"run.json: cannot be read"):
        begun_with(tmp_path, "student")
