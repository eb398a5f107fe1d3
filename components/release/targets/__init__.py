"""Where a release sends traffic; each is a `components.release.protocol.DeploymentTarget`.

- `process.ProcessTarget`: gateway processes on this machine, which follow a router file.
- `kubernetes_target.KubernetesTarget`: the gateway's pods in a cluster, which have the snapshot as a ConfigMap.
- `memory.MemoryTarget`: no servers at all, for the tests of everybody.
"""
