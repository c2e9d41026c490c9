"""What takes one time step of an encoder: a word's characters, or parts of a text."""
