"""How far the runs of a planned table are, adopted and damaged ones, and the time that is left."""

import json
from dataclasses import replace

import pytest

from edgeface.bench.reproduction import page, remaining, rows, tables
from edgeface.bench.reproduction.photos import open_photos
from edgeface.bench.reproduction.plan import make_plan, read_plans
from edgeface.bench.reproduction.results import collect
from edgeface.bench.reproduction.score import is_complete
from edgeface.bench.reproduction.state import state_of, write_plan
from edgeface.bundle import write_bundle
from edgeface.cli.reproduce_step import finish_run
from edgeface.data.layouts import load_dataset
from edgeface.errors import DataError, RunError
from edgeface.face_input import FaceInput


def write_run(out, plan, run, *, finished, epochs=1, recipe=None, **changes):
    folder = out / "runs" / run.key
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint").write_text("x")
    (folder / "recipe.toml").write_text(recipe or (out / "recipes" / f"{run.key}.toml").read_text())
    (folder / "metrics.jsonl").write_text('{"stage": 1, "epoch": 0}\n' * epochs)
    info = {"dataset": {"hash": plan.data_hash}, "build": {} if run.width is None else {"width": run.width}}
    info |= {"network": run.architecture, "teacher": run.teacher and {"run": run.teacher}}
    info |= {"seed": run.seed, "figures": {"finished": finished}} | changes
    (folder / "run.json").write_text(json.dumps(info))


def test_states_of_runs_and_what_an_adopted_one_has_otherwise(plan, tmp_path):
    out = tmp_path / "out"
    teacher, plain = plan.runs[0], plan.runs[1]
    assert state_of(out, plan, teacher).name == "new"
    write_run(out, plan, plain, finished=False, epochs=2)
    assert (state_of(out, plan, plain).name, state_of(out, plan, plain).epochs) == ("cut short", 2)
    text = (out / "recipes" / f"{teacher.key}.toml").read_text().replace("epochs = 5", "epochs = 9")
    write_run(out, plan, teacher, finished=True, recipe=text)
    state = state_of(out, plan, teacher)
    assert state.name == "finished"
    assert state.differences == ("stage1.epochs 9, planned 5",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 7}, "seed"),
        ({"dataset": {"hash": "other"}}, "data"),
        ({"build": {"width": 0.5}}, "network"),
        ({"build": {"width": 2.0, "widths": {"conv": 3}}}, "network"),
        ({"network": "mobilefacenet"}, "network"),
        ({"teacher": {"run": "x"}}, "teaching"),
    ],
)
def test_a_run_of_something_else_is_refused(plan, tmp_path, changes, says):
    write_run(tmp_path / "out", plan, plan.runs[1], finished=True, **changes)
    with pytest.raises(RunError, match=f"other {says}"):
        state_of(tmp_path / "out", plan, plan.runs[1])


def test_another_network_without_a_width_is_no_teacher(plan, tmp_path):
    write_run(tmp_path / "out", plan, plan.runs[0], finished=True, network="mobilefacenet")
    with pytest.raises(RunError, match="other network"):
        state_of(tmp_path / "out", plan, plan.runs[0])


def test_a_run_taught_by_other_weights_than_the_planned_teachers_is_refused(plan, tmp_path):
    out, teacher = tmp_path / "out", plan.runs[0]
    taught = [run for run in plan.runs if run.teacher]
    for run, weights in zip(taught, ("w", "other"), strict=False):
        write_run(out, plan, run, finished=True, teacher={"run": "elsewhere", "weights_sha256": weights})
    write_run(out, plan, taught[2], finished=True)
    assert state_of(out, plan, taught[1]).name == "finished"
    write_run(out, plan, teacher, finished=True, weights_sha256="w")
    assert [state_of(out, plan, taught[place]).name for place in (0, 2)] == ["finished", "finished"]
    with pytest.raises(RunError, match="other teacher's weights"):
        state_of(out, plan, taught[1])


def test_finished_seeds_stay_when_a_table_is_planned_again_with_fewer(plan, settings, tiny_data, tmp_path):
    out = tmp_path / "out"
    plain = [run for run in plan.runs if run.row == "1.0-plain"]
    taught = [run for run in plan.runs if run.row == "1.0-taught"]
    write_run(out, plan, plain[1], finished=True)
    write_run(out, plan, taught[1], finished=False)
    dataset = load_dataset(tiny_data)
    fewer = make_plan(replace(settings, seeds=1), rows.comparison(), dataset, out)
    for _ in range(2):
        write_plan(out, fewer)
        (stored,) = read_plans(out)
        keys = {row["name"]: row["runs"] for row in stored.rows}
        assert keys["1.0-plain"] == [plain[0].key, plain[1].key]
        assert keys["1.0-taught"] == [taught[0].key]
        assert stored.runs == (*fewer.runs, plain[1])
    assert collect(out)["tables"][0]["rows"][3]["runs"][1]["state"] == "finished"
    other = make_plan(replace(settings, seeds=1, overrides=("dropout=0.3",)), rows.comparison(), dataset, out)
    write_plan(out, other)
    assert read_plans(out) == (other,)


def test_a_plan_from_before_overrides_were_kept_is_read(plan, tmp_path):
    path = tmp_path / "out" / "plans" / "comparison.json"
    table = json.loads(path.read_text())
    del table["overrides"]
    path.write_text(json.dumps(table))
    assert read_plans(tmp_path / "out") == (plan,)
    assert tables.heading(collect(tmp_path / "out")["tables"][0]) == "Comparison on faces, recipe mine"


def test_a_damaged_plan_is_replaced(plan, tmp_path):
    (tmp_path / "out" / "plans" / "comparison.json").write_text("{")
    write_plan(tmp_path / "out", plan)
    assert read_plans(tmp_path / "out") == (plan,)


def test_weights_of_a_badly_copied_run_are_not_deleted(plan, tmp_path):
    folder = tmp_path / "out" / "runs" / plan.runs[1].key
    folder.mkdir(parents=True)
    (folder / "weights.h5").write_text("x")
    with pytest.raises(RunError, match=r"holds weights\.h5.*copy the whole run"):
        finish_run(tmp_path / "out", plan, plan.runs[1], quiet=True)
    assert (folder / "weights.h5").is_file()


@pytest.mark.parametrize("changes", [{"chain": ["pruned"]}, {"chain": {}}, {"versions": "3.11"}])
def test_a_run_that_tells_nonsense_of_itself_is_named(plan, tmp_path, changes):
    write_run(tmp_path / "out", plan, plan.runs[1], finished=True, **changes)
    with pytest.raises(RunError, match=r"run\.json: is damaged.*move the folder away"):
        collect(tmp_path / "out")


def test_a_damaged_plan_and_an_empty_folder_are_refused(plan, tmp_path):
    with pytest.raises(RunError, match="edgeface reproduce"):
        read_plans(tmp_path / "nothing")
    path = tmp_path / "out" / "plans" / "comparison.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(RunError, match="damaged"):
        read_plans(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs/{key}/run.json", '{"dataset": null}'),
        ("scores/{key}.json", "[]"),
        ("scores/{key}.json", '{"weights_sha256": "w"}'),
        ("scores/{key}.npz", "no archive"),
        ("bench/comparison.json", "{}"),
        ("plans/comparison.json", '{"format": "edgeface-reproduction-plan", "version": 1, "rows": ["x"], "runs": []}'),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(plan, tmp_path, name, text):
    out, run = tmp_path / "out", plan.runs[1]
    write_run(out, plan, run, finished=True, weights_sha256="w")
    part = {"bytes": 1, "sha256": "a" * 64, "mode": "float32", "val": None, "test": None,
            "chain": {"accuracy": {"before": None, "after": None, "images": 0}}}  # fmt: skip
    score = {"weights_sha256": "w", "parameters": 1, "macs": 1, "confusions": [], "float32": part}
    (out / "scores").mkdir()
    (out / "scores" / f"{run.key}.json").write_text(json.dumps(score))
    page.render(out, collect(out))
    path = out / name.format(key=run.key)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(RunError, match=r"damaged.*; (remove|move|run)"):
        page.render(out, collect(out))


def test_a_run_with_a_damaged_bundle_is_not_complete_and_no_error(plan, tmp_path):
    out, run = tmp_path / "out", plan.runs[1]
    write_run(out, plan, run, finished=True, weights_sha256="w")
    for folder in ("scores", f"bundles/{run.key}-float32"):
        (out / folder).mkdir(parents=True)
    score = {"weights_sha256": "w", "parameters": 1, "macs": 1, "confusions": []}
    (out / "scores" / f"{run.key}.json").write_text(json.dumps(score))
    (out / "scores" / f"{run.key}.npz").write_text("")
    (out / "bundles" / f"{run.key}-float32" / "bundle.json").write_text("{")
    assert not is_complete(out, plan, run)


def test_photographs_of_other_data_are_refused(plan, tmp_path):
    other = tmp_path / "other"
    for split in ("train", "val"):
        (other / split / "somebody").mkdir(parents=True)
        (other / split / "somebody" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="not the data of table comparison"):
        open_photos(tmp_path / "out", other)


def test_time_left_counts_steps_teacher_outputs_once_and_int8_training(plan, tmp_path):
    speed = remaining.Speed({"teacher": 10.0, "1.0": 100.0, "2.0": 50.0}, forward=40.0)
    left = remaining.seconds_left(tmp_path / "out", plan, plan.runs, 80, speed)
    seconds = {(run.row, run.seed): left[run.key] for run in plan.runs}
    # 7 epochs of the teacher, 4 of a student, of 80 images each; 5 epochs of int8 training.
    assert seconds["teacher", 0] == pytest.approx(7 * 80 / 10)
    assert seconds["1.0-plain", 0] == pytest.approx(4 * 80 / 100 + 5 * 80 / 100)
    # Stage 0 shows 1 view, stage 1 two and stage 2 one.
    assert seconds["2.0-taught", 0] == pytest.approx(9 * 80 / 50 + 4 * 80 / 40)
    assert seconds["2.0-taught", 1] == pytest.approx(9 * 80 / 50)


@pytest.mark.parametrize(("epochs", "weights", "seconds"), [(5, "w", 0), (3, "w", 4), (5, "older", 4)])
def test_time_left_counts_int8_training_that_was_otherwise(plan, tiny_models, tmp_path, epochs, weights, seconds):
    out = tmp_path / "out"
    run = next(run for run in plan.runs if run.row == "1.0-plain")
    write_run(out, plan, run, finished=True, epochs=4, weights_sha256="w")
    source = {"weights_sha256": weights, "quantization": {"mode": "qat", "epochs": epochs}}
    bundle = out / "bundles" / f"{run.key}-qat"
    write_bundle(bundle, tiny_models["int8"], [f"person_{n}" for n in range(5)], FaceInput(32), "qat", source=source)
    left = remaining.seconds_left(out, plan, [run], 80, remaining.Speed({"1.0": 100.0}, forward=40.0))
    assert left.get(run.key, 0) == pytest.approx(seconds)
