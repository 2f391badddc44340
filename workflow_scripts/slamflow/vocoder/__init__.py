"""Units to speech: a duration predictor, a network from units to mel spectra, and phases by Griffin and Lim."""
