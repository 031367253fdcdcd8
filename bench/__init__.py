"""edgeface.bench: latency, size, memory and accuracy of bundles and runs, here and on simulated devices.

runner.py     one run of the bench: targets on devices, as one result document
settings.py   its options, checked, and the targets as entries
host.py       measured rows: interleaved in rounds, then batches, the whole pipeline, the arena, accuracy
workers.py    one process for each target, so that its cold start and memory are its own
worker.py     what runs in such a process
targets.py    a bundle or a run as something that can be run, and what is known of it;  graphs.py  batches and arena
latency.py    timing, percentiles, ratios with their confidence
op_profile.py   time by operator and block, from litert_profiler.py (LiteRT's C library)
simulated.py  rows of devices that are not here
document.py   the result document (described in RESULT.md);  notes.py  noise and explanations in it
compare.py    two results and the conditions under which a change fails
report.py     tables: text, Markdown, CSV;  page.py  page_style.py  the HTML page;  cells.py  figures as short texts
memory.py     what the process takes

simulate.py  one model on one simulated device -> estimate.py, by one of the backends:
profile.py   effective rates of processor cores; vela.py  Ethos-U; mcu.py  TensorFlow Lite Micro
arm/         the real aarch64 kernels under qemu-user, counted by a plugin
devices/     the devices' profiles with their published points
calibration/ from published points to rates, error bands and their validation
tflite_ops.py  arena.py   what a .tflite file asks for: operators, bytes, memory
"""
