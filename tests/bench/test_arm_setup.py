"""`edgeface devices setup arm`, with apt-get, pip, gcc and QEMU played by scripts."""

import os
import platform
import shutil
import sys

import pytest
from arm_fakes import TOOLS, Machine, script
from typer.testing import CliRunner

from edgeface.bench.arm import fetch, home, packages, setup
from edgeface.cli import app
from edgeface.errors import EmulatorError, StorageError


def quiet(line):
    """Nobody listens."""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return make_machine(tmp_path / "machine", monkeypatch)


def make_machine(folder, monkeypatch, **options):
    machine = Machine(folder, f"{sys.version_info.major}.{sys.version_info.minor}", **options)
    for tool in TOOLS:
        os.symlink(shutil.which(tool), machine.bin / tool)
    for module in (home, packages):
        monkeypatch.setattr(module, "PACKAGES_FILE", machine.pins)
    packages._pinned.cache_clear()
    monkeypatch.setattr(sys, "executable", str(machine.bin / "python"))
    for name, value in {"PATH": machine.bin, "MIRROR": machine.mirror, "LOG": machine.log}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("EDGEFACE_ARM_HOME", str(machine.home))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return machine


@pytest.fixture(autouse=True)
def _forget_pins():
    yield
    packages._pinned.cache_clear()


def test_setup_unpacks_what_is_needed_and_remove_takes_it_away(machine):
    assert not home.is_set_up()
    assert setup.setup(None, quiet) == machine.home
    assert home.is_set_up()
    assert (machine.home / "bin" / "qemu-aarch64").stat().st_mode & 0o111
    files = {str(path.relative_to(machine.home)) for path in machine.home.rglob("*") if path.is_file()}
    assert files == {
        ".edgeface-arm",
        "ready.json",
        "insn_count.so",
        "bin/qemu-aarch64",
        "lib/libcapstone.so.4",
        "sysroot/usr/bin/python3.11",
        "litert/libLiteRtRuntimeCApi.so",
        "host/ai_edge_litert/interpreter.py",
    }
    machine.calls()
    setup.setup(None, quiet)
    assert machine.calls() == "", "set up already: nothing is fetched again"
    assert setup.remove()
    assert not machine.home.exists()
    assert not setup.remove()


def test_mirror_out_of_reach_then_back(machine):
    shutil.rmtree(machine.mirror)
    with pytest.raises(EmulatorError) as caught:
        setup.setup(None, quiet)
    message = str(caught.value)
    assert "qemu-user:amd64 1:2+3" in message
    assert "Could not resolve the name" in message
    assert "--from FOLDER" in message
    assert len(message.splitlines()) == 2
    assert not home.is_set_up()
    machine.mirror.mkdir()
    machine.fill_mirror()
    setup.setup(None, quiet)
    assert home.is_set_up()


def test_the_same_reason_for_every_package_is_told_once():
    package = packages.needed_packages()[0]
    causes = ["W: Failed to fetch", *(f"E: Unable to locate package {name}" for name in "abcdef"), "ERROR: no wheel"]
    message = fetch._how_to_go_on([package], causes)
    assert "(W: Failed to fetch; E: Unable to locate package a; and 5 more like it; ERROR: no wheel)" in message


def test_what_arrived_is_kept_when_one_version_is_gone(machine):
    gone = machine.mirror / "libcapstone4.deb"
    gone.unlink()
    with pytest.raises(EmulatorError, match=r"could not get libcapstone4:amd64 1:2\+3 .*was not found"):
        setup.setup(None, quiet)
    machine.fill_mirror()
    machine.calls()
    setup.setup(None, quiet)
    assert "download libcapstone4:amd64=1:2+3\n" in machine.calls()


def test_a_damaged_package_is_thrown_away_and_fetched_again(machine):
    (machine.mirror / "arm.whl").write_bytes(b"half a whe")
    with pytest.raises(EmulatorError, match=r"litert-aarch64.whl has SHA-256 \w{12}..., pinned is"):
        setup.setup(None, quiet)
    assert not (machine.home / "download" / "litert-aarch64.whl").exists()
    machine.fill_mirror()
    setup.setup(None, quiet)
    assert home.is_set_up()


def test_from_a_folder_without_network(machine, tmp_path):
    folder = tmp_path / "by-hand"
    folder.mkdir()
    with pytest.raises(EmulatorError, match=r"lacks qemu-user.deb, libcapstone4.deb"):
        setup.setup(folder, quiet)
    for package in packages.needed_packages():
        name = {"litert": "arm.whl", "host": "host.whl"}.get(package.part, package.name)
        (folder / package.file).write_bytes(machine.contents[name])
    (folder / "qemu-user.deb").write_bytes(b"something else")
    with pytest.raises(EmulatorError, match=r"qemu-user.deb: has SHA-256 \w{64}, pinned is \w{64}"):
        setup.setup(folder, quiet)
    (folder / "qemu-user.deb").write_bytes(machine.contents["qemu-user"])
    setup.setup(folder, quiet)
    assert home.is_set_up()
    assert machine.calls() == ""


def test_another_machine_falls_back(machine, monkeypatch):
    setup.setup(None, quiet)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert home.not_set_up() == "arm emulation needs x86-64 Linux"
    result = CliRunner().invoke(app, ["devices", "setup", "arm"])
    assert result.exit_code == 2
    assert "needs x86-64 Linux, this is Linux arm64; devices are simulated by their profiles here" in result.output


def test_without_a_compiler_nothing_is_fetched(machine):
    (machine.bin / "gcc").unlink()
    with pytest.raises(EmulatorError, match="install gcc"):
        setup.setup(None, quiet)
    assert machine.calls() == ""


def test_a_compiler_that_fails(machine):
    script(machine.bin / "gcc", "#!/bin/sh\necho 'x.c:1: fatal error: stdio.h: No such file' >&2\nexit 1\n")
    with pytest.raises(EmulatorError, match=r"cannot compile insn_count.c: .*stdio.h"):
        setup.setup(None, quiet)
    assert not home.is_set_up()


def test_an_emulator_that_does_not_start(tmp_path, monkeypatch):
    broken = "#!/bin/sh\necho 'libglib-2.0.so.0: cannot open shared object file' >&2\nexit 127\n"
    make_machine(tmp_path / "machine", monkeypatch, qemu=broken)
    with pytest.raises(EmulatorError, match="libglib"):
        setup.setup(None, quiet)
    assert not home.is_set_up()


def test_a_folder_of_other_files_is_left_alone(machine):
    machine.home.mkdir()
    (machine.home / "bin").mkdir()
    for call in (lambda: setup.setup(None, quiet), setup.remove):
        with pytest.raises(StorageError):
            call()
    assert (machine.home / "bin").exists()


def test_other_pins_ask_for_another_setup(machine):
    setup.setup(None, quiet)
    machine.pins.write_text(machine.pins.read_text() + "# changed\n")
    packages._pinned.cache_clear()
    assert "another version" in home.not_set_up()
    (machine.home / "ready.json").write_text("{")
    assert "is damaged" in home.not_set_up()


def test_the_commands(machine):
    run = CliRunner().invoke
    listed = run(app, ["devices", "setup", "arm", "--list"])
    assert listed.exit_code == 0
    assert listed.output.splitlines()[0].endswith("  qemu-user.deb")
    assert run(app, ["devices", "setup", "arm", "--remove", "--list"]).exit_code == 2
    assert "arm emulation is set up" in run(app, ["devices", "setup", "arm"]).output
    assert run(app, ["devices", "setup", "arm", "--remove", "--json"]).output.strip().endswith("}")
    assert not machine.home.exists()


def test_the_shipped_pins_are_whole():
    pinned = packages._pinned()[1]
    assert {package.part for package in pinned} == {"emulator", "sysroot", "litert", "host"}
    assert all(len(package.sha256) == 64 and package.bytes > 10_000 for package in pinned)
    assert sum(package.bytes for package in packages.needed_packages()) < 50e6
