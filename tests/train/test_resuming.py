"""What a resumed run takes from its beginning, so that '--resume' alone goes on with it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeface.errors import RecipeError, RunError, UsageError
from edgeface.files import text_sha256
from edgeface.recipe import Recipe
from edgeface.train.recipes import read_resumed
from edgeface.train.resuming import begun_with, resumed_info
from edgeface.train.session import Request, _network

BEGUN = {"network": "squeezenext_23v5", "build": {"width": 2.0}, "teacher": {"run": "/runs/teacher"}, "seed": 3,
         "strategy": "mirrored"}  # fmt: skip
AGAIN = {"seed": 3, "strategy": "mirrored"}


@pytest.mark.parametrize(
    ("changes", "role", "expected"),
    [
        ({}, "student", {**AGAIN, "network": "squeezenext_23v5", "width": 2.0, "teacher": Path("/runs/teacher")}),
        (
            {"network": "mobilefacenet", "build": {}, "teacher": None},
            "student",
            {**AGAIN, "network": "mobilefacenet", "teacher": None},
        ),
        ({"network": "inception_resnet_v1", "build": {}, "teacher": None}, "teacher", AGAIN),
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


@pytest.mark.parametrize(("network", "asked", "own"), [
    ("squeezenext_23v5", "teacher", "student"), ("inception_resnet_v1", "student", "teacher"),
])  # fmt: skip
def test_a_run_of_the_other_role_is_refused_with_the_command_to_use(network, asked, own, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({**BEGUN, "network": network}))
    with pytest.raises(RunError, match=f"is a {own}.*'edgeface train {own}'"):
        begun_with(tmp_path, asked)


def test_other_usable_photos_are_refused(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    info = {**BEGUN, "dataset": {"hash": "x", "photos": {"labels": "a", "images": "b"}}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    assert resumed_info(tmp_path, info, pruned=False) == info
    now = {**info, "dataset": {"hash": "x", "photos": {"labels": "a", "images": "c"}}}
    with pytest.raises(RunError, match="started with another set of usable photos in DATA"):
        resumed_info(tmp_path, now, pruned=False)
    (tmp_path / "run.json").write_text(json.dumps({**BEGUN, "dataset": {"hash": "x"}}))  # of an earlier version
    resumed_info(tmp_path, now, pruned=False)


def test_a_recipe_edited_since_the_run_began_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_text("stage1.epochs = 1\n")
    info = {**BEGUN, "dataset": {"hash": "x"}, "files": {"recipe.toml": text_sha256(tmp_path / "recipe.toml")}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    assert resumed_info(tmp_path, info, pruned=False) == info
    (tmp_path / "recipe.toml").write_text("stage1.epochs = 2\n")
    with pytest.raises(RunError, match=r"recipe\.toml: was edited or cut short.*--init"):
        resumed_info(tmp_path, info, pruned=False)


def test_a_sparse_run_goes_on_with_prune_alone(tmp_path):
    (tmp_path / "recipe.toml").write_text("stage1.epochs = 1\n")
    info = {**BEGUN, "dataset": {"hash": "x"}, "sparsity": {"share": 0.5, "pattern": None}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    assert resumed_info(tmp_path, info, pruned=True) == info
    with pytest.raises(RunError, match="'edgeface prune' that began it"):
        resumed_info(tmp_path, info, pruned=False)


def test_another_recipe_than_the_run_began_with_is_refused_by_name(tmp_path):
    (tmp_path / "recipe.toml").write_text("stage1.epochs = 1\n")
    (tmp_path / "run.json").write_text(json.dumps({"recipe": "cpu"}))
    assert read_resumed(tmp_path, "student", [], "cpu")[1] == "cpu"
    with pytest.raises(RecipeError, match="leave out --recipe demo"):
        read_resumed(tmp_path, "student", [], "demo")


def test_a_student_that_began_with_a_narrow_bundle_can_be_resumed():
    request = Request(Path("faces"), Path("run"), Recipe(), "cpu", width=0.0625, resume=True)
    assert _network(request, 5, 10)[1]["width"] == 0.0625
    with pytest.raises(UsageError, match=r"0\.125"):
        _network(replace(request, resume=False), 5, 10)
