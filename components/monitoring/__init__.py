"""Watch a model's traffic: what its gateway logged, beside what the version was trained on. Serves nothing.

`profile` is what a version's training rows looked like, kept with the version, so that the next training changes
nothing about it. `log_files`, `traffic`, `served` and `labels` read the prediction log by polars' streaming engine, a
column batch at a time; `drift` and `findings` judge what was counted; `exposition` is for Prometheus. What an
expectation suite and a metric are, other components know: their answers are handed in.
"""
