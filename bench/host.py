"""Rows of the device `cpu`: targets measured on this machine, interleaved in one run."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeface import machine
from edgeface.bench import latency
from edgeface.bench.document import MEASURED, Row
from edgeface.bench.settings import Entry, Settings
from edgeface.bench.workers import WorkerProcess
from edgeface.bundle import is_bundle, open_bundle
from edgeface.errors import DataError, EdgeFaceError, ImageError
from edgeface.run import open_run

BATCH_ROUNDS = 5
PIPELINE_RUNS = 50
PHOTO_SHAPE = (218, 178, 3)
"""Height and width of the photo that is drawn when no data is given: CelebA's aligned frame."""
Progress = Callable[[str, int, int], None]


@dataclass
class _Runner:
    """One target in the run: its processes, the last of which is alive, and what they gave so far."""

    entry: Entry
    cores: list[int]
    processes: list[WorkerProcess] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def worker(self) -> WorkerProcess:
        return self.processes[-1]


def measure(entries: Sequence[Entry], settings: Settings, progress: Progress | None = None) -> list[Row]:
    """One row for each entry, measured in turns. `progress(what, done, total)` counts turns, then images."""
    runners = [_Runner(entry, machine.usable_cores()[-entry.threads :]) for entry in entries]
    with contextlib.ExitStack() as stack:
        photo = stack.enter_context(_photo(entries, settings))
        for group in range(latency.GROUPS):
            for runner in runners:
                _renew(runner, stack, fresh=settings.plan.fresh)
            turns = [functools.partial(runner.worker.turn, settings.plan) for runner in runners]
            rounds = settings.plan.rounds // latency.GROUPS
            found = latency.interleave(turns, rounds, _later(progress, group * rounds * len(turns), latency.GROUPS))
            for runner, new in zip(runners, found, strict=True):
                runner.rounds += new
        rows = [_row(runner) for runner in runners]
        rows = _more(rows, [runner.worker for runner in runners], settings, photo, progress)
    if settings.per_op:
        rows = [_with_profile(row, runner) for row, runner in zip(rows, runners, strict=True)]
    return _with_ratios(rows)


def _renew(runner: _Runner, stack: contextlib.ExitStack, *, fresh: bool) -> None:
    """A new process for the next group of rounds, loaded.

    TensorFlow takes too long to load eight times, so its processes stay, as all do without `fresh`.
    """
    if runner.processes:
        if not fresh or runner.starts[0]["runtime"].startswith("TensorFlow"):
            return
        runner.worker.close()
    runner.processes.append(stack.enter_context(WorkerProcess(runner.entry.name, runner.entry.path)))
    runner.starts.append(runner.worker.load(runner.entry.threads, runner.entry.runtime, runner.cores))


def accuracy(entry: Entry, settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Top-1 of one target without measuring its speed, for rows of other devices."""
    assert settings.data is not None
    with WorkerProcess(entry.name, entry.path) as worker:
        worker.load(1, entry.runtime, machine.usable_cores()[-1:])
        return worker.accuracy(settings.data, settings.split, _part(progress, f"accuracy of {entry.name}"))


def _more(
    rows: list[Row], workers: Sequence[WorkerProcess], settings: Settings, photo: Path, progress: Progress | None
) -> list[Row]:
    """The rows with batches, the whole pipeline, the arena and accuracy, which come after the latency."""
    batches: list[dict[str, Any] | None] = [None] * len(rows)
    if settings.batch:
        share = {"runs": 1, "seconds": settings.plan.seconds / 10, "least_seconds": min(0.2, settings.plan.seconds)}
        asked: list[list[dict[str, Any]]] = [[] for _ in workers]
        for number in range(BATCH_ROUNDS):
            for index, worker in enumerate(workers):
                asked[index].append(worker.ask(do="batch", images=settings.batch, **share))
                if progress is not None:
                    progress("batches", number * len(workers) + index + 1, BATCH_ROUNDS * len(workers))
        batches = [_batch(answers, settings.batch) for answers in asked]
    share = {"runs": PIPELINE_RUNS, "seconds": settings.plan.seconds / 5, "least_runs": 5}
    pipelines = [worker.ask(do="pipeline", photo=str(photo), **share)["ms"] for worker in workers]
    named = "a photo of the data" if settings.data is not None else "a drawn JPEG photo of 178 x 218"
    arenas = [worker.ask(do="arena")["bytes"] for worker in workers]
    accuracies = _accuracies(rows, workers, settings, progress)
    return [
        replace(
            row,
            batch=batch,
            pipeline_ms={**_few(pipeline), "photo": named},
            memory={} if arena is None else {"arena": arena},
            accuracy=accuracies.get((worker.path, row.runtime)),
        )
        for row, worker, batch, pipeline, arena in zip(rows, workers, batches, pipelines, arenas, strict=True)
    ]


def _accuracies(
    rows: list[Row], workers: Sequence[WorkerProcess], settings: Settings, progress: Progress | None
) -> dict[tuple[Path, str | None], dict[str, Any]]:
    """Top-1 by target and runtime: the same for any number of threads, so measured once."""
    done: dict[tuple[Path, str | None], dict[str, Any]] = {}
    for row, worker in zip(rows, workers, strict=True):
        if settings.data is not None and (worker.path, row.runtime) not in done:
            show = _part(progress, f"accuracy of {worker.name}")
            done[worker.path, row.runtime] = worker.accuracy(settings.data, settings.split, show)
    return done


def _few(times: Sequence[float]) -> dict[str, float]:
    figures = latency.summary(times)
    return {key: figures[key] for key in ("p50", "p90", "mean", "std")} | {"runs": len(times)}


def _batch(answers: list[dict[str, Any]], images: int) -> dict[str, Any]:
    """Images a second in batches, from the rounds' answers."""
    if "reason" in answers[0]:
        return {"images": images, "fps": None, "reason": answers[0]["reason"]}
    times = np.concatenate([answer["ms"] for answer in answers])
    return {"images": images, "fps": 1000 * images / float(np.median(times)), **_few(times)}


def _row(runner: _Runner) -> Row:
    """What the latency rounds say of one target. Start-up times are medians over its processes."""
    starts, rounds = runner.starts, runner.rounds
    figures = latency.summary(np.concatenate(rounds))
    medians = latency.round_percentiles(rounds, 50)
    _, low, high = latency.group_interval(medians)
    start = starts[0]
    took = {
        key: float(np.median([one[key] for one in starts]))
        for key in ("cold_start_ms", "load_ms", "first_inference_ms")
    }
    return Row(
        **runner.entry.facts,
        device="cpu",
        kind=MEASURED,
        backend="host",
        threads=runner.entry.threads,
        ms=figures["p50"],
        band_ms=[min(low, figures["p50"]), max(high, figures["p50"])],
        fits=True,
        runtime=start["runtime"],
        delegate=start["delegate"],
        pinned_cores=runner.cores,
        runs=sum(map(len, rounds)),
        processes=len(starts),
        warm_up_runs=sum(one["warm_up_runs"] for one in starts),
        latency_ms=figures,
        **took,
        rss_mb=runner.worker.ask(do="memory"),
        round_p50_ms=medians.tolist(),
        round_p10_ms=latency.round_percentiles(rounds, latency.CALM).tolist(),
        round_spread=latency.spread(medians),
    )


def _with_ratios(rows: list[Row]) -> list[Row]:
    first = np.array(rows[0].round_p10_ms)
    ratios = [None, *(latency.speed_ratio(first, np.array(row.round_p10_ms)) for row in rows[1:])]
    return [replace(row, ratio=ratio) for row, ratio in zip(rows, ratios, strict=True)]


def _with_profile(row: Row, runner: _Runner) -> Row:
    """The row with time by operator, or with the reason why there is none. Its own process may die without harm."""
    if row.what != "bundle":
        return replace(row, per_op={"reason": "only bundles (TFLite) have times by operator"})
    if not (row.runtime or "").startswith("LiteRT"):
        return replace(row, per_op={"reason": f"{row.runtime} has no profiler that Python can reach; LiteRT has"})
    entry = runner.entry
    with WorkerProcess(entry.name, entry.path) as worker:
        try:
            found = worker.ask(do="per_op", path=str(entry.path), threads=entry.threads, cores=runner.cores)
        except (EdgeFaceError, RuntimeError) as error:
            lines = str(error).strip().splitlines()
            return replace(row, per_op={"reason": f"the profiler does not work here: {lines[-1]}"})
    return replace(row, per_op=found)


@contextlib.contextmanager
def _photo(entries: Sequence[Entry], settings: Settings) -> Iterator[Path]:
    """The photo that the pipeline is timed with: the split's first that every network takes, or a smooth random one."""
    if settings.data is not None:
        from edgeface.data.images import read_image
        from edgeface.data.layouts import load_dataset

        inputs = [(open_bundle if is_bundle(entry.path) else open_run)(entry.path).face_input for entry in entries]
        for image in load_dataset(settings.data).of(settings.split):
            try:
                photo = read_image(image.path)
                for face_input in inputs:
                    face_input.prepare(photo, image.path)
            except ImageError:
                continue
            yield image.path
            return
        raise DataError(f"{settings.data}: no photo of split {settings.split} can be used")
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        coarse = np.random.default_rng(0).integers(0, 256, (28, 23, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, PHOTO_SHAPE[1::-1], interpolation=cv2.INTER_CUBIC))
        yield path


def _part(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    """The progress of one part of the work."""
    return None if progress is None else functools.partial(progress, what)


def _later(progress: Progress | None, before: int, groups: int) -> Callable[[int, int], None] | None:
    """The progress of one of several groups of turns, as part of all of them."""
    if progress is None:
        return None
    return lambda done, total: progress("measuring", before + done, groups * total)
