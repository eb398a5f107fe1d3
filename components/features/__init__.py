"""Make a validated table ready for training: the prepare stage.

`prepare` is the step. It reads in this order: `config` (what may be configured), `table` (its rows in batches),
`selection` (which columns become which inputs), `splits` (which rows train, choose and test), `target` (the label),
`statistics` (of the train split only), `graph` (the preprocessing as one ONNX graph), `plan` (the same as a record, for
frameworks that build it themselves), `matrix` (what is written).

Where a value was not seen in training:
- a missing value has a feature of its own if the train split misses some; else it is only imputed;
- a rare category (`min_count`, `max_categories`) goes to the feature ``<other>``, and so does an unseen one; where no
  category was rare there is no such feature, and an unseen one is 0 everywhere: a feature that is 0 in all of the
  training would carry a weight that nobody trained;
- a column with one value in the whole train split is left out, and the stage says so.
"""
