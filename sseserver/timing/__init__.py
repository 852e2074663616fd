"""Timing: one timer for many calls (`ticker`), and work at the end of a reactor turn (`turnend`)."""
