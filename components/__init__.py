"""What each step of the pipeline does; knows nothing of Prefect, nor of the order of the steps."""
