"""Speech to units: encoders, codebooks, extraction, sequences of units."""
