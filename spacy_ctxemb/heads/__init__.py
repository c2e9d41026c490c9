"""What stands on an encoder for a task: layers of scores, and the components that use them."""
