"""Architectures for TFX's Trainer: files as for Keras, with ``build(task)``; `mlp` is the very file that Keras has."""
