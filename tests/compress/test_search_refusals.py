"""The budget search: what it refuses before anything is trained, and whose folder it goes on in."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.errors import RunError, UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import search as room
from edgeface.compress import tries as made_tries
from edgeface.compress.budget import parse_budget
from edgeface.compress.qat import Plan
from edgeface.compress.search import Request, search
from edgeface.models import mobilefacenet_prelu


def fps(paths: list[Path]) -> list[float | None]:
    """Nothing that is refused is measured."""
    raise AssertionError(paths)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keeps": (0.8, 0.6)}, "falling shares of the MACs that begin with 1"),
        ({"keeps": (1.0, 0.6, 0.8)}, "falling shares"),
        ({"keeps": (1.0, 0.0)}, "between 0 and 1"),
        ({"keeps": (1.0, float("nan"), 0.5)}, "between 0 and 1|falling shares"),
        ({"modes": ("qat",)}, "--modes: give int8"),
        ({"modes": ("int8", "int8")}, "--modes: give int8"),
        ({"epochs": 0}, "needs fine-tuning"),
        ({"plan": Plan(epochs=0)}, "--qat-epochs 0"),
        ({"calibration": 8}, "at least 64"),
        ({"stem": "squares"}, "--stem squares: choose one of rows, pairs, plain"),
    ],
)
def test_refusals(tmp_path, options, message):
    request = Request(tmp_path / "run", parse_budget("drop<=1"), tmp_path / "out", tmp_path / "work", fps, **options)
    with pytest.raises(UsageError, match=message):
        search(request)
    assert not (tmp_path / "work").exists()


def test_a_folder_of_something_else_is_not_written_to(student_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for work in (tmp_path, tmp_path / "notes.txt"):
        request = Request(student_run, parse_budget("drop<=1"), tmp_path / "x" / "out", work, fps)
        with pytest.raises(UsageError, match=r"holds something else; choose another folder with --work"):
            search(request)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("content", "reason"), [
    ("{}", "accuracy is missing"), ("[]", "accuracy is missing"), ("3", "cannot be read"), ("{", "cannot be read"),
])  # fmt: skip
def test_a_damaged_file_of_an_earlier_search_is_named(tmp_path, content, reason):
    (tmp_path / "keep-1-int8.json").write_text(content)
    with pytest.raises(UsageError, match=rf"keep-1-int8\.json: .*{reason}.*; remove it and start again"):
        made_tries.read_json(tmp_path / "keep-1-int8.json", "accuracy")


def test_training_for_int8_may_join_a_search_later(student_run, tmp_path):
    request = Request(student_run, parse_budget("drop<=1"), tmp_path / "out", tmp_path / "work", fps, modes=("int8",))
    room._claim(request)
    both = replace(request, modes=("int8", "qat"), plan=Plan(epochs=3))
    room._claim(both)
    room._claim(request)
    with pytest.raises(UsageError, match="another --qat-epochs"):
        room._claim(replace(both, plan=Plan(epochs=4)))


def test_a_network_without_channels_to_spare_is_refused_but_for_its_modes(student_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(student_run, other)
    info = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**info, "network": "mobilefacenet"}))
    request = Request(other, parse_budget("drop<=1"), tmp_path / "out", tmp_path / "work", fps)
    with pytest.raises(UsageError, match=r"from squeezenext_23v5 alone; .* mobilefacenet with --keep 1"):
        search(request)
    assert not (tmp_path / "work").exists()


def test_a_network_that_cannot_learn_int8_is_named_first(student_run, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "load_model", lambda run: mobilefacenet_prelu(3, size=32, bottlenecks=((2, 64, 1, 2),)))
    request = Request(student_run, parse_budget("drop<=1"), tmp_path / "out", tmp_path / "work", fps)
    with pytest.raises(UsageError, match=r"stem_prelu \(PReLU\).*or leave training for int8 out with --modes int8"):
        search(request)
    assert not (tmp_path / "work").exists()


def test_a_teacher_of_other_people_is_refused_before_the_folder_is_claimed(student_run, teacher_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(teacher_run, other)
    names = (other / "identities.txt").read_text().splitlines()
    (other / "identities.txt").write_text("\n".join(names[::-1]) + "\n")
    request = Request(student_run, parse_budget("drop<=1"), tmp_path / "out", tmp_path / "work", fps, teacher=other)
    with pytest.raises(RunError, match="knows other identities"):
        search(request)
    assert not (tmp_path / "work").exists()


def test_speed_is_measured_again_with_other_threads(student_run, tmp_path, monkeypatch):
    measured: list[int] = []

    def shapes(run, model, train, keeps, **options):
        measured.append(len(keeps))
        return [{"keep": keep} for keep in keeps]

    monkeypatch.setattr(room, "measure_shapes", shapes)
    request = Request(student_run, parse_budget("drop<=1"), tmp_path / "out", tmp_path, fps)
    for threads, times in ((1, 1), (1, 1), (2, 2)):
        room._shapes(replace(request, fps_threads=threads))
        assert len(measured) == times


def test_command_refuses_a_device_before_it_loads_anything(tmp_path):
    result = CliRunner().invoke(app, ["compress", str(tmp_path), "--budget", "fps>=3", "--device", "toaster"])
    assert result.exit_code == 2
    assert "toaster" in result.stderr


def test_command_refuses_a_budget_before_it_loads_anything(tmp_path):
    result = CliRunner().invoke(app, ["compress", str(tmp_path), "--budget", "speed>=3"])
    assert result.exit_code == 2
    assert "'speed' cannot be limited" in result.stderr
