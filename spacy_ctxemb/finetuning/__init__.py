"""Which layers of an encoder learn, when, and how fast."""
