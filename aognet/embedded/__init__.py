"""Trainings of the small parts that the models in `assets` are made of."""
