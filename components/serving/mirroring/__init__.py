"""A shadow is asked what stable answered: `mirror` is all that the rest of the gateway knows of it.

A version that predicts in this interpreter would take it from the event loop, so its shadow predicts in a process of
its own, one per worker (`process_lane` holds it and feeds it in bursts, `restarts` says when it hangs and when it comes
back, `process` is its handle, `child` its program, `frames` what crosses). A runtime that waits for another process
anyway is asked in a thread (`thread_lane`). Either way a request is compared, or counted as dropped (`shadowing` is
what both make of it).
"""
