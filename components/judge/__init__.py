"""The statistics of a rollout: pure functions and small accumulators, no clock, no file, no HTTP.

Used by the gateway while traffic flows, by the release's guards, and by simulations.
"""
