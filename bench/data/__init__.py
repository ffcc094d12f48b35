"""Images: data sets, and the splits that train, choose and test."""
