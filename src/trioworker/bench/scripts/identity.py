"""The job of `bench dedicated`: its arguments are its result."""  # noqa: INP001 - started by its path, in no package


def main(**args: object) -> dict[str, object]:
    """Return them."""
    return args
