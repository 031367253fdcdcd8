"""Photos on disk: reading, layouts, splits, the audit, synthetic faces and the image cache. No TensorFlow."""
