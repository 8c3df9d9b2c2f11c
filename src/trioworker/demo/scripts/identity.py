"""A dedicated script: its process is kept, and `main` is called once per job."""


def main(number: int) -> int:
    """What came in goes out."""
    return number
