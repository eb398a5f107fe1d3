"""Run products: the `ModelRuntime` boundary, and what stands behind it.

`protocol` is the boundary; `table` finds a runtime by its kind; `onnx_runtime` serves a graph in process, `savedmodel`
a SavedModel in a process of its own, `memory_runtime` is the public stand-in for tests; `signature` reads and checks
what a product takes and gives; `batch` checks a mapping of arrays against it; `elsewhere` is how long other processes
computed; `tensors` makes that mapping from rows of a table.
The server imports this package on its way up, so that nothing here but `tensors` may import more than numpy and
onnxruntime; TensorFlow is imported in `savedmodel.child` alone, which is another process.
"""
