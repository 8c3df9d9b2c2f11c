"""The measurements behind every claim, each in a database of its own on the user's own server.

Rule of this package: it measures the worker that users run, with its own settings and statements,
and never a model of it. What could not be measured is None.
"""
