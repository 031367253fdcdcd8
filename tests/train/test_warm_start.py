"""Beginning with a run of another size."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeface.errors import RunError
from edgeface.face_input import FaceInput
from edgeface.models import mobilefacenet
from edgeface.train import warm_start

FEW = ((2, 64, 1, 2),)


def test_a_mobilefacenet_of_another_size_is_refused(monkeypatch):
    facts = {"build": {}, "figures": {}, "info": {"weights_sha256": ""}, "face_input": FaceInput(64)}
    run = SimpleNamespace(identities=("a", "b"), network="mobilefacenet", **facts)
    monkeypatch.setattr(warm_start, "open_run", lambda path: run)
    monkeypatch.setattr(warm_start, "load_dataset", lambda data: run)
    monkeypatch.setattr(warm_start, "load_model", lambda run: mobilefacenet(2, size=64, bottlenecks=FEW))
    start = warm_start.warm_start(Path("run"), Path("data"), teacher=False)
    same = mobilefacenet(2, size=64, bottlenecks=FEW)
    start.prepare(SimpleNamespace(model=same))
    with pytest.raises(RunError, match="--set size=64"):
        start.prepare(SimpleNamespace(model=mobilefacenet(2, size=96, bottlenecks=FEW)))
    assert np.isfinite(same.get_weights()[0]).all()
