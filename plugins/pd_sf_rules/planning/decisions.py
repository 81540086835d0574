"""What a person can decide about a storm that is held back, in the words of the button."""

from typing import Literal

Decision = Literal["Release", "Discard", "Release as one summary incident"]
RELEASE: Decision = "Release"
DISCARD: Decision = "Discard"
SUMMARY: Decision = "Release as one summary incident"
