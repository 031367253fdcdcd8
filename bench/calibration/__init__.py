"""edgeface.bench.calibration: what ties the simulated devices to published measurements.

builder.py    writes .tflite files operator by operator, float32 or int8, with random weights
networks.py   the published networks by their papers, built with it
facts.py      their operators, kept in networks.json so that profiles need no rebuilding
"""
