"""Trains networks by forgetting and relearning, with torch alone: `python -m trainer SPEC.json`."""
