"""Render: from a blueprint to sound."""
