"""Small programs that run inside other processes and interpreters; see framing.py for the lines."""
