"""Architectures, one file each: ``<kind>/<name>.py`` with ``build(task)`` and the ``PARAMETERS`` it reads.

Those that are here are examples to copy; a user's own stand beside them and are found in the same way.
"""
