"""Releasing composed: evidence is gathered, the ledger decides, targets and publishers follow."""
