"""Formats: text files to raw claim frames (String columns named after claim attributes), in batches."""
