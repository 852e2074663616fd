"""
Access: the checks of a request before anything is done for it.
"""
