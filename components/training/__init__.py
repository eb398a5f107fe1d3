"""From prepared data to a product: one training, in whichever framework it names.

``core/`` is what all kinds share; ``<kind>_trainer.py`` fits and ``<kind>/export.py`` writes the network as an ONNX
graph, each in a process of its own. Nothing else in the project imports a framework. ``docs/trainer-author.md`` says
how to add a kind.
"""
