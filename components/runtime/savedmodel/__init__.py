"""Run products of kind `savedmodel`: TensorFlow in a process of its own, and a wire between it and this one.

- `runtime.SavedModelRuntime`: the `ModelRuntime`; imports no TensorFlow.
- `child`: the process; the only module of the project's runtimes that imports TensorFlow.
- `frames`: what goes over the wire between them; no pickle.
- `names`: how a raw column is called inside a SavedModel; the standard library only, since trainings ask it, too.
"""
