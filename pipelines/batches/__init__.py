"""New data, batch by batch: what is taken into the next dataset, what is left out, and who is told. Runs no stage."""
