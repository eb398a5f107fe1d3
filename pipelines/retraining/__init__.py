"""Training again because of what monitoring found: when (`decide`), what is known (`history`), and doing it (`act`)."""
