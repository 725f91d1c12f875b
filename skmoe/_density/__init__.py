"""The predictive density of a regression mixture, learned from the errors of held-out rows."""
