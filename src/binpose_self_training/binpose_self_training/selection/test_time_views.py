"""Whether a teacher finds a pose again when the frame is turned and lit differently.

The file is about views at test time; it holds no tests.
"""
