"""What all tests share: real databases, from `tests/database_fixtures.py`."""

pytest_plugins = ["tests.database_fixtures"]
