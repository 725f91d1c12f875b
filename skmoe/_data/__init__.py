"""The data: rows, folds, columns and weights."""
