"""The validate stage: a table against its expectation suite. Fail-closed: what could not be checked is refused.

Our own checks come first (`checks`, `leak`): Great Expectations says success for an empty table, an empty suite, a
column of nulls and an infinite value. Only a table that passes them meets Great Expectations (`expectations`), column
batch by column batch, so that memory stays bounded. The verdict (`verdict`) is the stage's output; the report for
people (`report`) stands outside of it and is also written when the table is refused. `propose` drafts a suite.
"""
