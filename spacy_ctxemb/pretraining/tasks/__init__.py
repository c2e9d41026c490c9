"""What pretraining learns: objectives with their data."""
