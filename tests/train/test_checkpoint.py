"""What a run writes: a damaged metrics file, and a disk that is full."""

import numpy as np
import pytest
from training_jobs import make_job, weights_of

from edgeface.errors import RunError, StorageError
from edgeface.run import read_metrics
from edgeface.train import trainer
from edgeface.train.checkpoint import Place


def test_metrics_end_at_the_first_damaged_line(tmp_path):
    good = b'{"stage": 0, "epoch": 0, "loss": 1.0}\n'
    for damaged in (b"\xff\xfe\n", b"[1]\n", b"3\n", b'{"stage": 0}\n', b'{"stage": null, "epoch": 0}\n', b'{"sta'):
        (tmp_path / "metrics.jsonl").write_bytes(good + damaged + good)
        assert read_metrics(tmp_path) == [{"stage": 0, "epoch": 0, "loss": 1.0}]


def test_a_disk_that_is_full_when_the_weights_are_closed(tmp_path, monkeypatch):
    job = make_job(tmp_path / "run")

    def full(*arguments, **options):
        raise RuntimeError("Can't decrement id ref count (unable to extend file properly, errno = 28)")

    monkeypatch.setattr(job.learner.model, "save_weights", full)
    with pytest.raises(StorageError, match=r"cannot write .*weights\.h5"):
        trainer._keep(job, Place(), 0.5)
    assert list((tmp_path / "run").iterdir()) == []


def test_an_empty_list_of_checkpoints_is_named(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "checkpoint").touch()
    with pytest.raises(RunError, match=r"holds no checkpoint that can be read.*--init"):
        trainer.fit(make_job(tmp_path / "run"), resume=True)


def test_a_checkpoint_cut_short_gives_way_to_the_one_before(tmp_path):
    whole = make_job(tmp_path / "run")
    trainer.fit(whole, resume=False)
    newest, _older = sorted((tmp_path / "run" / "checkpoints").glob("ckpt-*.data*"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:1000])
    again = make_job(tmp_path / "run")
    trainer.fit(again, resume=True)
    for one, other in zip(weights_of(whole), weights_of(again), strict=True):
        np.testing.assert_array_equal(one, other)

    for path in (tmp_path / "run" / "checkpoints").glob("ckpt-*.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"holds no checkpoint that can be read.*--init"):
        trainer.fit(make_job(tmp_path / "run"), resume=True)
