"""Running the runs of a plan: one after another or several at once, stopped and failed. Processes of Python stand for
them."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace

from edgeface.bench.reproduction.execute import Workshop, execute
from edgeface.bench.reproduction.plan import PlannedRun


def fake_runs():
    teacher = PlannedRun("t", "teacher", "teacher", 0, None, "")
    return [replace(teacher, key="s1", row="s", teacher="t"), teacher, replace(teacher, key="p", row="p")]


def workshop(tmp_path, bodies, jobs=1):
    """Each run appends its key to a file when it begins and when it ends; `bodies` is what it does between."""
    note = f"open({str(tmp_path / 'order')!r}, 'a').write"

    def command(run):
        body = bodies.get(run.key, "pass")
        return [sys.executable, "-c", f"import sys, time\n{note}('+{run.key} ')\n{body}\n{note}('-{run.key} ')"]

    return Workshop(command, lambda run: True, tmp_path / "logs", jobs)


def test_a_taught_run_waits_for_its_teacher_and_runs_go_one_by_one(tmp_path):
    ended = execute(fake_runs(), workshop(tmp_path, {}), lambda message: None)
    assert not ended.stopped
    assert not ended.failed
    assert (tmp_path / "order").read_text() == "+t -t +s1 -s1 +p -p "


def test_a_failed_run_leaves_out_its_students_and_nothing_else(tmp_path):
    ended = execute(fake_runs(), workshop(tmp_path, {"t": "sys.exit('no luck')"}, jobs=2), lambda message: None)
    assert set(ended.failed) == {"t", "s1"}
    assert "no luck" in ended.failed["t"]
    assert "-p" in (tmp_path / "order").read_text()


def test_ctrl_c_lets_the_running_one_save_and_starts_no_other(tmp_path):
    body = "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(130)"

    def interrupt():
        while not (tmp_path / "order").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = execute(fake_runs(), workshop(tmp_path, {"t": body}), lambda message: None)
    thread.join()
    assert ended.stopped
    assert not ended.failed
    assert (tmp_path / "order").read_text() == "+t "
