"""The solver of the softmax gate: softmax regression on soft targets."""
