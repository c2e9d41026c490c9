"""Models that lie elsewhere: names on the Hugging Face Hub and addresses become local files."""
