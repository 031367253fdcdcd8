"""What a bundle answers on the labelled splits of the data, kept so that tables and pictures need no network again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bench.reproduction.plan import KINDS, Plan, PlannedRun, bundle_name
from edgeface.bench.reproduction.reading import check_fields, read_object
from edgeface.bench.reproduction.state import run_info, state_of
from edgeface.bundle import Bundle, is_bundle, open_bundle
from edgeface.data.cache import cached_images
from edgeface.data.dataset import FaceDataset
from edgeface.embedder import Recognizer
from edgeface.errors import BundleError
from edgeface.files import atomic_path
from edgeface.metrics import predicted_classes, top_k, worst_confusions

TSNE_IDENTITIES, TSNE_IMAGES = 20, 16
CONFUSIONS = 12
MEND = "remove it and run 'edgeface reproduce' again"


def score_bundle(path: Path, dataset: FaceDataset, threads: int) -> dict[str, Any]:
    """Size and accuracy of a bundle on val and, where it has labels, test: JSON-serialisable.

    `val` and `test` hold `top1`, `top5` (0..1) and `images`, or are None.
    """
    bundle = open_bundle(path)
    recognizer = Recognizer(bundle, threads=threads)
    scores = {split: _accuracy(recognizer, dataset, split) for split in ("val", "test")}
    return {"bytes": bundle.size, "sha256": bundle.model_sha256, "mode": bundle.mode, **scores, "chain": chain(bundle)}


def keep_answers(path: Path, bundle: Path, dataset: FaceDataset, threads: int) -> list[dict[str, Any]]:
    """Write what the pictures need to `path` (.npz) and return the worst confusions on val.

    In the file: `labels` and `predicted` of the validation images, int64 (N,); `flat`, float32 (M, 2), t-SNE of the
    pre-logits of up to 16 of them each of up to 20 identities, their `identity` (M,), and `split`, where they are from:
    val, for images a network was trained on flatter it. Needs scikit-learn.
    """
    recognizer = Recognizer(bundle, threads=threads)
    face_input = recognizer.bundle.face_input
    images, labels, _ = cached_images(dataset, "val", face_input)
    logits = recognizer.logits(images, prepared=True)
    picked = pick_images(np.asarray(labels))
    embedding = recognizer.embed(np.asarray(images[picked]), prepared=True)
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, labels=np.asarray(labels, np.int64), predicted=predicted_classes(logits),
            flat=flat_map(embedding), identity=np.asarray(labels)[picked], split=np.array("val"),
        )  # fmt: skip
    found = worst_confusions(logits, np.asarray(labels), dataset.identities, CONFUSIONS)
    return [asdict(item) for item in found]


def pick_images(labels: np.ndarray, identities: int = TSNE_IDENTITIES) -> np.ndarray:
    """Indices of the first 16 images, or of all where there are fewer, of each of the identities that have most, in
    order of identity."""
    counts = np.bincount(labels[labels >= 0])
    most = np.argsort(-counts, kind="stable")[:identities]
    return np.concatenate([np.flatnonzero(labels == identity)[:TSNE_IMAGES] for identity in np.sort(most)])


def flat_map(embedding: np.ndarray) -> np.ndarray:
    """t-SNE by cosine of embeddings (N, size): float32 (N, 2), the same at every call.

    van der Maaten and Hinton 2008, https://www.jmlr.org/papers/v9/vandermaaten08a.html.
    """
    if len(embedding) < 3:
        # Too few for a map.
        return np.zeros((len(embedding), 2), np.float32)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(15.0, (len(embedding) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0, metric="cosine")
        return tsne.fit_transform(embedding).astype(np.float32)


def chain(bundle: Bundle) -> dict[str, Any]:
    """Where a bundle came from and what each step cost, from its own manifest."""
    accuracy = bundle.accuracy or {}
    return {
        "source": {name: value for name, value in bundle.source.items() if name != "versions"},
        "versions": bundle.source.get("versions", {}),
        "accuracy": {name: accuracy.get(name) for name in ("before", "after", "images", "data")},
        "note": bundle.note,
    }


def is_current(out: Path, plan: Plan, run: PlannedRun, kind: str, weights_sha256: str) -> bool:
    """Whether a run's bundle is there, whole, of these weights and trained as planned."""
    path = out / "bundles" / bundle_name(run, kind)
    try:
        source = open_bundle(path).source if is_bundle(path) else {}
    except BundleError:
        return False
    return is_as_planned(plan, run, kind, source) and source.get("weights_sha256") == weights_sha256


def is_as_planned(plan: Plan, run: PlannedRun, kind: str, source: Mapping[str, Any]) -> bool:
    """Whether a bundle, whose manifest says `source` of where it came from, had the int8 training of the plan."""
    trained = kind == "int8" and run.quantize == "qat"
    return not trained or source.get("quantization", {}).get("epochs") == plan.qat_epochs


def is_complete(out: Path, plan: Plan, run: PlannedRun) -> bool:
    """Whether nothing of a run is left to do: trained, all its bundles current and scored."""
    score = read_score(out, run.key)
    if score is None or state_of(out, plan, run).name != "finished":
        return False
    weights = (run_info(out / "runs" / run.key) or {}).get("weights_sha256", "")
    return all(is_current(out, plan, run, kind, weights) for kind in run.kinds) and is_scored(out, run, score, weights)


def is_scored(out: Path, run: PlannedRun, score: dict[str, Any], weights_sha256: str) -> bool:
    """Whether a run's score is of these weights and of its bundles as they are."""
    if score.get("weights_sha256") != weights_sha256 or not (out / "scores" / f"{run.key}.npz").is_file():
        return False
    bundles = {kind: out / "bundles" / bundle_name(run, kind) for kind in run.kinds}
    return all(
        is_bundle(path) and score.get(kind, {}).get("sha256") == open_bundle(path).model_sha256
        for kind, path in bundles.items()
    )


def read_score(out: Path, key: str) -> dict[str, Any] | None:
    """The scores of a run, None when it has none yet. Raises RunError when the file is damaged."""
    path = out / "scores" / f"{key}.json"
    fields = {"weights_sha256": str, "parameters": int, "macs": (int, float), "confusions": list}
    score = read_object(path, fields, MEND)
    for kind in KINDS:
        if score is not None and kind in score:
            check_fields(path, score[kind], {"bytes": int, "sha256": str, "mode": str, "chain": dict}, MEND)
    return score


def _accuracy(recognizer: Recognizer, dataset: FaceDataset, split: str) -> dict[str, Any] | None:
    if split not in dataset.splits or any(sample.identity is None for sample in dataset.of(split)):
        return None
    images, labels, _ = cached_images(dataset, split, recognizer.bundle.face_input)
    logits = recognizer.logits(images, prepared=True)
    five = min(5, logits.shape[1])
    return {"top1": top_k(logits, labels, 1), "top5": top_k(logits, labels, five), "images": len(labels)}
