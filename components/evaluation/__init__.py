"""What a model is worth, and whether that is enough.

`record` measures a product on the prepared splits (a DVC stage; it never judges). `rescore` and `latency` measure what
depends on the champion or on this machine, so they are no stage. `gates` judges what was measured, as pure functions.
"""
