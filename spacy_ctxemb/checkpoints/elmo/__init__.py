"""ELMo's published format."""
