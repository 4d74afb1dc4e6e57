"""Rooms: their shells, openings, furniture and light."""
