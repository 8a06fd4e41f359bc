"""The Open Inference Protocol, version 2, with the binary tensor data extension: tensors in, tensors out, under /v2."""
