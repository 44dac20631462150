"""Urumi's domain. Start reading in lifecycle.py."""
