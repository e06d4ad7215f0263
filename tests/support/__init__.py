"""Servers and validators that the tests share."""
