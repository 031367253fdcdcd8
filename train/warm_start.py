"""`edgeface train ... --init RUN|BUNDLE`: training that begins with weights there are instead of random ones."""

from __future__ import annotations

from pathlib import Path

from edgeface.bundle import is_bundle
from edgeface.data.layouts import load_dataset
from edgeface.errors import RunError, UsageError
from edgeface.models import load_model
from edgeface.run import open_run
from edgeface.train.from_bundle import bundle_start
from edgeface.train.resuming import SHAPE
from edgeface.train.start import Start
from edgeface.train.step import Learner


def warm_start(path: Path, data: Path, *, teacher: bool) -> Start:
    """Begin with the weights of the run or bundle at `path`, whose network and people must be those of the new run.

    With cosine schedules this is a warm restart (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983). Centers,
    the triplet loss's head and the optimizer begin anew. Raises RunError for a run of other people, UsageError
    for a student to begin a teacher with or the reverse.
    """
    if is_bundle(path):
        if teacher:
            raise UsageError(f"--init {path}: is a bundle, and only students can go on from one; give a teacher's run")
        return bundle_start(path, data)
    run = open_run(path)
    if run.identities != load_dataset(data).identities:
        raise RunError(f"{path}: was trained on other identities than {data}; --init goes on with the same people")
    if (run.network == "inception_resnet_v1") != teacher:
        raise UsageError(
            f"--init {path}: is a {run.network}; use 'edgeface train {'student' if teacher else 'teacher'}'"
        )

    def prepare(learner: Learner) -> None:
        try:
            learner.model.set_weights(load_model(run).get_weights())
        except ValueError:  # MobileFaceNet's last depthwise layer is as large as the picture that comes to it
            raise RunError(
                f"{path}: its {run.network} is one for {run.face_input.size} px and fits no other size; "
                f"--set size={run.face_input.size}"
            ) from None

    shape = {name: run.build[name] for name in SHAPE if name in run.build}
    facts = {"init": {"run": str(path.resolve()), "weights_sha256": run.info["weights_sha256"], "figures": run.figures}}
    return Start(run.network, shape, prepare, facts, run.face_input)
