"""Several encoders as one."""
