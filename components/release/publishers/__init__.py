"""Whatever else is told where versions stand, once the ledger has said so; fed by the outbox, one row at a time.

- `protocol.Publisher`: what all of them are; `protocol.Publication`: what they are told.
- `triton.TritonRepository`: a model repository that an NVIDIA Triton server polls.
- `tensorflow_serving.TensorFlowServingRepository`: a base path and a configuration that TensorFlow Serving polls.
- `webhook.Webhook`: signed notices to an address.

None of them decides anything, and none is read as the truth. Retrying is the outbox's.
"""
