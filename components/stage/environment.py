"""Which environment variables a process gets that runs a model's code. Knows no such process.

What is not named here stays behind: whoever adds a secret to the environment need not know of these processes.
"""

from __future__ import annotations

import os

_NAMES = frozenset(
    {
        "HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "SSL_CERT_DIR", "SSL_CERT_FILE", "SYSTEMROOT",
        "TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "XLA_FLAGS",
    }
)  # fmt: skip
_BEGINNINGS = (
    "COV_", "COVERAGE_", "CUDA_", "LC_", "NVIDIA_", "OMP_", "OPENBLAS_", "ORT_", "PYTHON",
    # TensorFlow's, one by one: with TF_ alone begin Terraform's variables and tokens, too
    "TF_CPP_", "TF_CUDNN_", "TF_DETERMINISTIC_", "TF_ENABLE_", "TF_FORCE_GPU_", "TF_GPU_", "TF_XLA_",
)  # fmt: skip


def bare_environment(*also: str) -> dict[str, str]:
    """Return what a process that runs a model's code needs of this one's variables: no token, no URL, no secret.

    Args:
        also: Names of variables that it gets besides.
    """
    taken = _NAMES.union(also)
    return {name: value for name, value in os.environ.items() if name in taken or name.startswith(_BEGINNINGS)}
