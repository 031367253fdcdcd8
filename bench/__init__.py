"""edgeface.bench: latency, size, memory and accuracy of bundles and runs.

runner.py    one measurement: opens the targets, interleaves them in rounds, gives the result document
workers.py   one process for each target, so that its cold start and memory are its own
worker.py    what runs in such a process
targets.py   a bundle or a run as something that can be run, and what is known of it
latency.py   timing, percentiles, ratios with their confidence
memory.py  machine.py   what the process takes, and what it ran on
report.py    tables from the result document

simulate.py  one model on one simulated device -> estimate.py, by one of the backends:
profile.py   effective rates of processor cores; vela.py  Ethos-U; mcu.py  TensorFlow Lite Micro
devices/     the devices' profiles with their published points
calibration/ from published points to rates, error bands and their validation
tflite_ops.py  arena.py   what a .tflite file asks for: operators, bytes, memory
"""
