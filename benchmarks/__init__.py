"""Speed, measured: every figure is a ratio against something else in the same run, never a timed test."""
