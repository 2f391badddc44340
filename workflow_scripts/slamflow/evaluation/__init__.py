"""What is made of likelihoods of minimal pairs: accuracies with intervals, and how far voices are apart in units."""
