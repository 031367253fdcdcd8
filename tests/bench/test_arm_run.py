"""Emulated runs, with QEMU played by a script; the plugin's classes, by its own C code; and the emulator itself."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from arm_fakes import script

from edgeface.bench.arm import home, run
from edgeface.bench.arm.outputs import compare, random_inputs
from edgeface.bench.calibration.builder import Builder
from edgeface.bench.tflite_ops import read_graph
from edgeface.errors import EmulatorError, UsageError

# The command is: qemu -L ROOT ... -plugin LIBRARY,out=COUNTS python -I -S -B guest LIBRARY MODEL INPUTS OUTPUTS KERNELS
QEMU = """#!/bin/sh
root=$2
while [ $# -gt 1 ]; do
  case "$1" in *,out=*) counts=${1##*,out=};; esac
  [ $# = 3 ] && inputs=$1; [ $# = 2 ] && outputs=$1; shift
done
"""


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """A function that makes the emulator behave in some way."""
    monkeypatch.setenv("EDGEFACE_ARM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(run, "not_set_up", lambda: None)
    (tmp_path / "home" / "sysroot" / "usr").mkdir(parents=True)
    return lambda text: script(tmp_path / "home" / "bin" / "qemu-aarch64", QEMU + text)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small network as float32 and int8: {dtype: path}."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for dtype in ("float32", "int8"):
        net = Builder(dtype)
        image = net.image(32)
        x = net.conv(net.depthwise(net.conv(image, 16, 3, 2), 3), 32, 1)
        paths[dtype] = folder / f"{dtype}.tflite"
        paths[dtype].write_bytes(net.finish([image], [net.dense(net.global_pool(x), 10)]))
    return paths


def test_counts_are_differences_of_marks(qemu, tmp_path):
    qemu(
        'cp "$inputs" "$outputs"; cp "$root/proc/cpuinfo" ' + str(tmp_path) + "\n"
        'printf "0 5 1 1 1 1 1 0 0 0 0 9 9\\n1 105 51 21 11 2 3 2 3 4 3 1009 509\\n" > $counts\n'
        'printf "2 200 51 21 11 2 3 2 3 4 3 1009 509\\n3 210 56 21 11 2 3 2 3 4 3 1009 509\\n" >> $counts'
    )
    emulation = run.emulate_run(tmp_path / "m.tflite", "cortex-a53", b"input", processors=2)
    assert emulation.outputs == b"input"
    first, second = emulation.counts
    assert (first.total, first.vector_multiply, first.bytes_loaded, first.bytes_stored) == (100, 50, 1000, 500)
    assert sum(getattr(first, name) for name in run.CLASSES) == 95
    assert (second.total, second.vector_multiply) == (10, 5)
    text = (tmp_path / "cpuinfo").read_text()
    assert text.count("processor\t:") == 2
    assert "CPU part\t: 0xd03\n" in text


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("kill -9 $$", "the emulator was killed by SIGKILL; run it again"),
        ("kill -11 $$", "killed by SIGSEGV"),
        ("echo 'the runtime cannot read the model' >&2; exit 1", "emulation failed: the runtime cannot read the model"),
        ("exec sleep 60", "took more than 0 s and was stopped"),
        ("exit 0", "left no complete record"),
        ('echo "0 1 1 1 1 1 1 1 1 1 1 1 1" > $counts', "left no complete record"),
        ('echo "0 1 1 1 1 1 1" > $counts; echo "1 1 1 1 1 1 1" >> $counts', "left no complete record"),
    ],
)
def test_an_emulator_that_does_not_finish(qemu, tmp_path, monkeypatch, behaviour, message):
    qemu(behaviour)
    if "sleep" in behaviour:
        monkeypatch.setattr(run, "SECONDS", 0.3)
    with pytest.raises(EmulatorError, match=message):
        run.emulate_run(tmp_path / "m.tflite", "cortex-a53", b"")


def test_what_cannot_be_emulated(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEFACE_ARM_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="cortex-m7 cannot be emulated; choose from cortex-a53"):
        run.emulate_run(tmp_path / "m.tflite", "cortex-m7", b"")
    with pytest.raises(EmulatorError, match="edgeface devices setup arm"):
        run.emulate_run(tmp_path / "m.tflite", "cortex-a53", b"")


def test_outputs_are_compared_value_by_value(models):
    graph = read_graph(models["int8"])
    host = np.zeros(20, np.int8)
    emulated = host.copy()
    assert compare(graph, host.tobytes(), host.tobytes())["bit_equal"]
    emulated[[3, 17]] = (1, -4)
    found = compare(graph, emulated.tobytes(), host.tobytes())
    assert found == {"bit_equal": False, "values": 20, "different": 2, "largest_difference": 4.0}
    with pytest.raises(UsageError, match="different sizes"):
        compare(graph, b"\0" * 10, b"\0" * 20)


def test_random_inputs_are_always_the_same_and_use_the_range(models):
    graph = read_graph(models["int8"])
    inputs = np.frombuffer(random_inputs(graph, 8), np.int8).reshape(8, 32, 32, 3)
    assert random_inputs(graph, 8) == inputs.tobytes()
    assert inputs.min() < -120
    assert inputs.max() > 120
    assert len({image.tobytes() for image in inputs}) == 8
    floats = np.frombuffer(random_inputs(read_graph(models["float32"]), 2), np.float32)
    assert np.abs(floats).max() <= 1


# Encodings by the Arm Architecture Reference Manual, checked with a disassembler: (word, class, bytes moved).
INSTRUCTIONS = """
4E21CC00 vector_multiply 0  fmla v0.4s, v0.4s, v1.4s
4F811000 vector_multiply 0  fmla v0.4s, v0.4s, v1.s[0]
6E21DC00 vector_multiply 0  fmul v0.4s, v0.4s, v1.4s
4EA19400 vector_multiply 0  mla v0.4s, v0.4s, v1.4s
0E61C000 vector_multiply 0  smull v0.4s, v0.4h, v1.4h
0F612000 vector_multiply 0  smlal v0.4s, v0.4h, v1.h[2]
4E819400 vector_multiply 0  sdot v0.4s, v0.16b, v1.16b
4F81E000 vector_multiply 0  sdot v0.4s, v0.16b, v1.4b[0]
4E21D400 vector_other 0  fadd v0.4s, v0.4s, v1.4s
4EA18400 vector_other 0  add v0.4s, v0.4s, v1.4s
6EA1B400 vector_other 0  sqrdmulh v0.4s, v0.4s, v1.4s
4F0F5400 vector_other 0  shl v0.16b, v0.16b, #7
4E040400 vector_other 0  dup v0.4s, v0.s[0]
4E217800 vector_other 0  fcvtl2 v0.4s, v0.8h
1E210800 scalar_float 0  fmul s0, s0, s1
1F010000 scalar_float 0  fmadd s0, s0, s1, s0
3DC00000 vector_load 16  ldr q0, [x0]
3D800000 vector_store 16  str q0, [x0]
BD400000 vector_load 4  ldr s0, [x0]
AD400400 vector_load 32  ldp q0, q1, [x0]
6D000400 vector_store 16  stp d0, d1, [x0]
4CDF7800 vector_load 16  ld1 {v0.4s}, [x0], #16
4C40A000 vector_load 32  ld1 {v0.16b, v1.16b}, [x0]
4C000000 vector_store 64  st4 {v0.16b-v3.16b}, [x0]
0D40C800 vector_load 4  ld1r {v0.2s}, [x0]
0D008400 vector_store 8  st1 {v0.d}[0], [x0]
F9400000 scalar_load 8  ldr x0, [x0]
39000000 scalar_store 1  strb w0, [x0]
39C00000 scalar_load 1  ldrsb w0, [x0]
A9400400 scalar_load 16  ldp x0, x1, [x0]
29000400 scalar_store 8  stp w0, w1, [x0]
58000040 scalar_load 8  ldr x0, literal
885F7C00 scalar_load 4  ldxr w0, [x0]
C8007C01 scalar_store 8  stxr w0, x1, [x0]
F8616800 scalar_load 8  ldr x0, [x0, x1]
F9800000 scalar_other 0  prfm pldl1keep, [x0]
54000040 branch 0  b.eq
94000000 branch 0  bl
D65F03C0 branch 0  ret
B4000040 branch 0  cbz x0
91000400 scalar_other 0  add x0, x0, #1
9B017C00 scalar_other 0  mul x0, x0, x1
"""
HARNESS = """
#include "%s"
int main(void) {
    unsigned word;
    while (scanf("%%x", &word) == 1) {
        struct access found = classify(word);
        printf("%%d %%u\\n", found.kind, found.bytes);
    }
    return 0;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_the_plugin_knows_the_instructions(tmp_path):
    rows = [line.split(maxsplit=3) for line in INSTRUCTIONS.strip().splitlines()]
    (tmp_path / "harness.c").write_text(HARNESS % home.PLUGIN_SOURCE)
    program = tmp_path / "harness"
    flags = ["-O1", "-ffunction-sections", "-Wl,--gc-sections", "-DPUBLIC=static __attribute__((unused))"]
    subprocess.run(["gcc", *flags, "-o", program, tmp_path / "harness.c"], check=True)
    words = "\n".join(row[0] for row in rows)
    result = subprocess.run([program], input=words, capture_output=True, text=True, check=True)
    found = [(run.COUNTERS[int(kind)], int(size)) for kind, size in map(str.split, result.stdout.splitlines())]
    assert dict(zip([row[3] for row in rows], found, strict=True)) == {r[3]: (r[1], int(r[2])) for r in rows}


needs_emulator = pytest.mark.skipif(not home.is_set_up(), reason=str(home.not_set_up()))


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76"])
def test_emulated_int8_outputs_are_the_hosts(models, core):
    from edgeface.bench.arm.host import host_outputs, host_runtimes
    from edgeface.bench.arm.packages import litert_version

    folder = host_runtimes().get(litert_version())
    if folder is None:
        pytest.skip(
            f"LiteRT {litert_version()} has no wheel for Python {sys.version_info.major}.{sys.version_info.minor}"
        )
    graph = read_graph(models["int8"])
    inputs = random_inputs(graph, 3)
    first, again = (run.emulate_run(models["int8"], core, inputs) for _ in range(2))
    assert first.outputs == host_outputs(folder, models["int8"], inputs)
    assert [c.vector_multiply for c in first.counts] == [c.vector_multiply for c in again.counts]
    assert all(sum(getattr(c, name) for name in run.CLASSES) == c.total for c in first.counts)


@needs_emulator
@pytest.mark.slow
def test_dot_products_are_used_where_the_core_has_them(models):
    """A depthwise layer has none: the rest of a 27 x 16 and a 16 x 32 product takes fewer instructions with them."""
    inputs = random_inputs(read_graph(models["int8"]), 1)
    without, with_them = (
        run.emulate_run(models["int8"], core, inputs).counts[0].vector_multiply for core in ("cortex-a72", "cortex-a76")
    )
    assert with_them < 0.8 * without


@needs_emulator
@pytest.mark.slow
def test_a_file_that_is_no_model(tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(b"nothing")
    with pytest.raises(EmulatorError, match="emulation failed: the runtime cannot read the model"):
        run.emulate_run(model, "cortex-a72", b"")
