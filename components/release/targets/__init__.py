"""Where a release sends traffic; each is a `components.release.protocol.DeploymentTarget`.

- `process.ProcessTarget`: gateway processes on this machine, which follow a router file.
- `memory.MemoryTarget`: no servers at all, for the tests of everybody.
"""
