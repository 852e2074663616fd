"""
Access: the checks of a request before anything is done for it.

Every request passes the `gate`, which checks its host (`hosts`) and the page that sent it (`origins`, `cors`). Each API
then asks for a right on a name (`rights`).
"""
