"""Pin every image of compose.yaml and the Dockerfiles to what its tag names now. Builds nothing. Standard library only.

A tag may be moved, a digest cannot: ``name:tag`` becomes ``name:tag@sha256:…``, and what was pinned before is asked for
anew. Needs docker with buildx and the network; without them it says so and changes nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

INFRA = Path(__file__).resolve().parents[1]
OWN = "towpath-"
_IMAGE = re.compile(
    r"^(?P<before>\s*(?:image:|FROM)\s+)(?P<tag>[\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?", re.MULTILINE
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIME_LIMIT_S = 120.0


def files(infra: Path) -> list[Path]:
    """Return every file that names an image."""
    return [infra / "compose.yaml", *sorted((infra / "docker").glob("*.Dockerfile"))]


def tags(text: str) -> list[str]:
    """Return the images of others that a file names, without their digests."""
    return [each["tag"] for each in _IMAGE.finditer(text) if not each["tag"].startswith(OWN)]


def pinned(text: str, digests: dict[str, str]) -> str:
    """Return a file's text with every known image pinned."""

    def pin(found: re.Match[str]) -> str:
        digest = digests.get(found["tag"])
        return found[0] if digest is None else f"{found['before']}{found['tag']}@{digest}"

    return _IMAGE.sub(pin, text)


def resolve(docker: str, tag: str) -> str:
    """Return the digest that a tag names now, for every platform it is made for.

    Raises:
        SystemExit: the registry did not say.
    """
    command = [docker, "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", tag]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{tag}: no answer within {_TIME_LIMIT_S:g} s; nothing was changed") from None
    if done.returncode or not _DIGEST.fullmatch(done.stdout.strip()):
        raise SystemExit(f"{tag} could not be resolved, nothing was changed: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout.strip()


def main(infra: Path = INFRA) -> int:
    """Pin, and say what was pinned."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "buildx", "version"], capture_output=True, check=False).returncode:
        print(
            "docker with buildx is not on this machine; images keep their tags. Pin them where it is: make pin-images"
        )
        return 2
    texts = {path: path.read_text() for path in files(infra)}
    digests = {tag: resolve(docker, tag) for tag in sorted({tag for text in texts.values() for tag in tags(text)})}
    for path, text in texts.items():
        path.write_text(pinned(text, digests))
    for tag, digest in digests.items():
        print(f"{tag}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
