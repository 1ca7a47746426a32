"""The pipeline: a profile run by DVC from data to report, and what its stages share."""
