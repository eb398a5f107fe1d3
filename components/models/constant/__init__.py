"""Architectures that look at no feature: ``build(task)`` returns a function of the train target."""
