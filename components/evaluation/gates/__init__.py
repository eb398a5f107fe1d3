"""Gates: pure functions from evidence to verdicts. They read no file, ask nobody, and what is missing is refused."""
