"""Speech recognizers that tell how intelligible speech is: Whisper for words, hama for phones; and error rates."""
