"""
Tests of the pages that a program writes.
"""
