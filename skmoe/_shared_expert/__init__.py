"""The shared expert, which answers for every row."""
