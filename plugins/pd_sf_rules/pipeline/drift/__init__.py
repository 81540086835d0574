"""Looking for drift, one file a family: each compares one thing on both sides, and repairs it if told to."""
