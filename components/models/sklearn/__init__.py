"""Architectures for scikit-learn: each file has ``build(task)``, which returns an estimator, and its ``PARAMETERS``.

An estimator with ``partial_fit`` whose file declares ``epochs`` is trained epoch by epoch, with early stopping and
checkpoints; any other one is fitted once. It must be one that skl2onnx can export.
"""
