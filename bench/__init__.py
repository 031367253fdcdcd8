"""edgeface.bench: latency, size, memory and accuracy of bundles and runs.

runner.py    one measurement: opens the targets, interleaves them in rounds, gives the result document
workers.py   one process for each target, so that its cold start and memory are its own
worker.py    what runs in such a process
targets.py   a bundle or a run as something that can be run, and what is known of it
latency.py   timing, percentiles, ratios with their confidence
memory.py  machine.py   what the process takes, and what it ran on
report.py    tables from the result document
"""
