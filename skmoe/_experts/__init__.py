"""Experts: what may be one, how one is fitted, and what they say of held-out rows."""
