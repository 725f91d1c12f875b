"""Prediction: whom to ask, asking them, and mixing what they say."""
