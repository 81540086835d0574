"""The play page: both simulated systems side by side, for a person to act on either."""
