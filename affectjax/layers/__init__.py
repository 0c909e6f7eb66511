"""Linen modules shared by two or more papers."""
