"""The evaluate stage: predict through the product, and write metrics, slices, plots and predictions. Never judges."""
