"""What a frozen encoder made of a Doc, kept for later epochs."""
