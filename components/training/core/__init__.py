"""What every training shares, whatever its framework.

In the stage's own process, which stays light: `stage` (the steps), `config` (the keys), `kinds` (which class trains),
`declared` (which keys a trainer and an architecture use), `environment` (of kinds that have one of their own), `child`
(the framework's processes), `product` (the graph from raw columns), `parity` (does it predict what the framework
predicts).

In the framework's process, with the standard library, numpy and the framework alone: `worker` (its main function),
`protocol` (what it calls), `journal` (metrics, early stopping, checkpoints), `prepared_data`, `architecture`.
"""
