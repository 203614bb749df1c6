"""Maximum and average over windows, and back."""
