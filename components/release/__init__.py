"""Releasing: the ledger, the rules by which a rollout moves, and the places that follow it.

- `ledger.Ledger`: which version stands where, and who let it; one transaction per transition, hash-chained events; and
  what a rollout keeps beside them (`rollout_records`): evidence, approvals, the outbox, leases with fences.
- `peek.peek`: the same slot, read without the database library, for the path on which nothing is to be done.
- `local.make_stable_locally`: the local environment has no rollout; a version that passed its gates is stable there.
- `projection.aliases`: what a slot means as MLflow aliases; writing them is the registry's.
- `plan.ReleasePlan`, `states`, `machine.next_action`, `guards/`: what a version must show, as pure functions over the
  evidence of `rollout.RolloutEvidence`; nothing here asks a server or a clock.
- `protocol.DeploymentTarget`, `targets/`: where traffic goes; `router.RouterFile`: the snapshot that gateways follow.
- `publishers/`: what else is told where versions stand: Triton, TensorFlow Serving, webhooks.
- `store.Store`: products by their digest, whole or not at all, checked whenever they are handed out.

Knows nothing of MLflow: an alias is a projection of the ledger and never read as the truth.
"""
