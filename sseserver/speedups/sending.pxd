# The function of sending.py, for the modules that are compiled: `from sseserver.speedups cimport sending`.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE


cdef extern from "sys/socket.h" nogil:
    Py_ssize_t systemSend "send"(int descriptor, const void* data, size_t size, int flags)


# The descriptor is asked for each time: that of a closed socket may be another connection's.
cdef inline Py_ssize_t send(object socket, bytes data) except -1:
    cdef int descriptor = socket.fileno()
    cdef Py_ssize_t sent
    if descriptor < 0:
        # Closed, or none of the system.
        try:
            return socket.send(data)
        except OSError:
            return 0
    sent = systemSend(descriptor, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), 0)
    return sent if sent > 0 else 0
