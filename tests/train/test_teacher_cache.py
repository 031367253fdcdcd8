"""The stored outputs of a teacher: made once, and again when they are damaged."""

from types import SimpleNamespace

import numpy as np
import pytest
from training_jobs import images

from edgeface.face_input import FaceInput
from edgeface.models import squeezenext_23v5
from edgeface.recipe import Augmentation, Stage
from edgeface.train.teacher_cache import TeacherCache

STAGE = Stage(epochs=1, basic_augmentation=True)


@pytest.fixture
def cache(tmp_path):
    """Call for a new cache of one teacher and its images."""
    data = images(6, seed=0)
    size = data.images.shape[1]
    run = SimpleNamespace(path=tmp_path, info={"weights_sha256": "0"}, face_input=FaceInput(size))
    model = squeezenext_23v5(3, size=size, width=0.25, blocks=(1, 0, 0, 0))
    return lambda: TeacherCache(run, model, data, Augmentation(), quiet=True)


@pytest.mark.parametrize("kept", [None, 0, 20, -8])
def test_outputs_that_were_cut_short_are_made_again(cache, tmp_path, kept):
    whole = [np.array(part) for part in cache()(STAGE, 0)]
    (stored,) = tmp_path.rglob("logits.npy" if kept is not None else "embedding.npy")
    content = stored.read_bytes()
    if kept is None:
        stored.unlink()
    else:
        stored.write_bytes(content[:kept])
    for part, expected in zip(cache()(STAGE, 0), whole, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert stored.read_bytes() == content


def test_outputs_are_stored_once(cache, tmp_path):
    cache()(STAGE, 0)
    (stored,) = tmp_path.rglob("logits.npy")
    made = stored.stat().st_mtime_ns
    assert len(cache()(STAGE, 0)[0]) == 6
    assert stored.stat().st_mtime_ns == made
