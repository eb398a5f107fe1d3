"""Architectures in torch: each file has ``build(task)``, which returns a `torch.nn.Module` or a `LightningModule`.

A network takes the features, float32 of shape (n_rows, n_features), and returns one logit per class, also where there
are two, or one standardised value. A `LightningModule` brings its own ``training_step`` and ``configure_optimizers``.
"""
