"""Guards: pure functions from evidence to verdicts, one family a file. They read no file, ask nobody, have no clock.

What is missing, is not a finite number, is of other bytes or of another revision is refused; nothing passes in silence.
"""
