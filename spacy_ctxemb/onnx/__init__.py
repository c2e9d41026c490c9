"""Encoders and heads in the ONNX format, for programs without PyTorch and spaCy."""
