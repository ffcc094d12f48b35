"""What the scripts do once their flags are read."""
