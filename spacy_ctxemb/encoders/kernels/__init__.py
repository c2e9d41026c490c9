"""Matrix products and recurrences whose gradients are written by hand."""
