"""
One stream in memory: its log (`log`), the entries in it (`buffer`), event IDs (`ids`).
"""
