"""The API of sessions, `/session`: a cookie in place of a credential, for browsers."""
