"""Training by forgetting and relearning, on torch alone: `python -m trainer SPEC.json`."""
