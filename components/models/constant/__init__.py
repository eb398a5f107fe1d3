"""Architectures that look at no feature: each file has ``build(task)``, which returns a function of the train target."""
