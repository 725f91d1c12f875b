"""Training: from validated data to experts, gate and shared expert."""
