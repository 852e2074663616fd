"""Tickers, and the end of a reactor turn."""
