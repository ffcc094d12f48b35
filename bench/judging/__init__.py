"""How good scores are: metrics, selection, intervals, comparisons. Arrays in, figures out."""
