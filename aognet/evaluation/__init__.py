"""Measuring folders of panoramas: protocols, what they measure, and the report."""
