"""edgeface.bench.arm: the real aarch64 LiteRT kernels under QEMU, their instructions counted.

home.py         where the emulator lies and whether it is set up
packages.toml   what it is made of, by version and SHA-256
fetch.py        getting it through the machine's own apt-get and pip, or from a folder
setup.py        unpacking, compiling, removing
insn_count.c    the QEMU plugin that counts (GPL-2.0-or-later; compiled on the user's machine)
cores.py        what the emulated board looks like to the code on it
guest.py        what runs inside
run.py          one emulated run
host.py         the same model and inputs on this machine, to compare outputs with
calibration.py  instructions per cycle, fitted to published latencies
counts.json     the instructions of the published networks, counted by `edgeface devices count`
emulate.py      a model on a device as an Estimate
"""
