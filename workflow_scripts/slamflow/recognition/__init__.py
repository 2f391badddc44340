"""Speech recognisers that judge speech: Whisper for words, hama for phones; and error rates."""
