"""edgeface.bench.calibration: what ties the simulated devices to published measurements.

fit.py        effective rates fitted to points; errors.py  leave-one-out errors and bands
validate.py   the report of it; scatter.py  its plot; own_points.py  a user's own measurements
builder.py    writes .tflite files operator by operator, float32 or int8, with random weights
networks.py   the published networks by their papers, built with it
facts.py      their operators, kept in networks.json so that profiles need no rebuilding
"""
