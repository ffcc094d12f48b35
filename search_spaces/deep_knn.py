"""Nearest neighbours on a pretrained network's features."""

from search_spaces.knn import SPACE

__all__ = ["SPACE"]
