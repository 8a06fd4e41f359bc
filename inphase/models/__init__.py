"""Trained networks: what a card says of one, the repository that holds them, the sessions that run them."""

import os

# some wheels of onnxruntime report on their use over the network and keep an identifier in the home folder
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
