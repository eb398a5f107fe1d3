"""The words that components share: frozen records of paths, digests and numbers. Standard library only."""
