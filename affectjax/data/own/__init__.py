"""Folders of a user's own features, sounds and labels."""
