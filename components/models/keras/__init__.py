"""Architectures in Keras: each file has ``build(task)``, which returns a `keras.Model` that is not compiled.

A network takes the features, float32 of shape (n_rows, n_features), and returns one logit per class, also where there
are two, or one standardised value. A layer or model class of your own is registered with
`keras.saving.register_keras_serializable`; a model may bring its own ``train_step`` or ``compute_loss``.
"""
