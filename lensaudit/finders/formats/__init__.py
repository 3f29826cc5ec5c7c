"""Finders as files: a YAML says what a network's file takes as input and gives, and nothing in the file is run."""
